//! The server of a service: decodes the arguments of a request, opens its streams, calls the trait, sends what it gives.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Type};

use super::{Encodings, allows, client_name, docs, encodings, locals, server_name};
use crate::model::{Argument, ContextArgument, Form, Method, Output, SentArgument, Service};
use crate::parse::is_bytes;

pub(super) fn expand(service: &Service) -> TokenStream {
    let structure = expand_struct(service);
    let Service { grid, name, .. } = service;
    let (client, server) = (client_name(service), server_name(service));
    let allows = allows(service);
    let arms = service.methods.iter().map(|method| expand_arm(service, method));
    // The parameter must not be called as a type that the user's methods may have.
    quote_spanned! {Span::mixed_site()=>
        #structure

        #allows
        #[automatically_derived]
        impl<__Service: #name> #grid::Describe for #server<__Service> {
            const DESCRIPTION: #grid::ServiceDescription = <#client as #grid::Describe>::DESCRIPTION;
        }

        #allows
        #[automatically_derived]
        impl<__Service: #name> #grid::Service for #server<__Service> {
            fn handle(&self, method: u8, request: #grid::__private::Request) -> #grid::__private::Serving {
                match method {
                    #(#arms)*
                    _ => request.unknown_method(),
                }
            }
        }
    }
}

fn expand_struct(service: &Service) -> TokenStream {
    let vis = &service.vis;
    let server = server_name(service);
    let server_text = server.to_string();
    let allows = allows(service);
    let struct_docs = docs(&format!("Serves a [`{}`] to remote nodes.", service.text()));
    let new_docs = docs("Serves this.");
    quote_spanned! {Span::mixed_site()=>
        #allows
        #struct_docs
        #vis struct #server<S>(::std::sync::Arc<S>);

        #allows
        impl<S> #server<S> {
            #new_docs
            #[must_use]
            #vis fn new(service: S) -> Self {
                Self(::std::sync::Arc::new(service))
            }
        }

        #allows
        #[automatically_derived]
        impl<S> ::core::convert::From<::std::sync::Arc<S>> for #server<S> {
            fn from(service: ::std::sync::Arc<S>) -> Self {
                Self(service)
            }
        }

        #allows
        #[automatically_derived]
        impl<S> ::core::clone::Clone for #server<S> {
            fn clone(&self) -> Self {
                Self(::std::sync::Arc::clone(&self.0))
            }
        }

        #allows
        #[automatically_derived]
        impl<S> ::core::fmt::Debug for #server<S> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#server_text).finish_non_exhaustive()
            }
        }
    }
}

fn expand_arm(service: &Service, method: &Method) -> TokenStream {
    let Method { cfgs, allows, id, .. } = method;
    let id = id.value;
    let decode = decode(service, method);
    let open = open(service, method);
    let reply = reply(service, method);
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #(#allows)*
        #id => {
            let service = ::std::sync::Arc::clone(&self.0);
            ::std::boxed::Box::pin(async move {
                #decode
                #open
                #reply
            })
        }
    }
}

/// Calls the trait, and sends what it gives.
fn reply(service: &Service, method: &Method) -> TokenStream {
    let Service { name: service_name, .. } = service;
    let name = &method.name;
    let arguments = arguments(method);
    let Encodings { output, error, .. } = encodings(service, method);
    let span = Span::mixed_site();
    let call = quote_spanned!(span=> <__Service as #service_name>::#name(&*service, #(#arguments),*));
    match (&method.output, error) {
        (Output::Answer(_), Some(error)) => quote_spanned!(span=> request.reply(#call.await, #output, #error)),
        (Output::Answer(_), None) => quote_spanned!(span=> request.reply_infallible(#call.await, #output)),
        (Output::Sent(_), Some(error)) => quote_spanned!(span=> request.finished(#call.await, #error)),
        (Output::Sent(_), None) => quote_spanned! {span=>
            #call.await;
            request.finished_infallible()
        },
        (Output::Returned(_), Some(error)) => quote_spanned! {span=>
            let items = #call;
            request.respond(items, #output, #error).await
        },
        (Output::Returned(_), None) => quote_spanned! {span=>
            let items = #call;
            request.respond_infallible(items, #output).await
        },
    }
}

/// The handler's ends of its streams, as locals.
fn open(service: &Service, method: &Method) -> TokenStream {
    let Encodings { input, output, .. } = encodings(service, method);
    let span = Span::mixed_site();
    let inbound = input.map(|encoding| {
        let inbound = inbound(method);
        quote_spanned!(span=> let #inbound = request.inbound(#encoding)?;)
    });
    let outbound = matches!(&method.output, Output::Sent(_)).then(|| {
        let outbound = outbound(method);
        quote_spanned!(span=> let #outbound = request.outbound(#output)?;)
    });
    quote!(#inbound #outbound)
}

/// Decodes the arguments into [`locals`].
fn decode(service: &Service, method: &Method) -> TokenStream {
    let locals = locals(method);
    let span = Span::mixed_site();
    let received = locals.iter().map(|(local, argument)| received(service, argument, local));
    let decoded = match locals.as_slice() {
        // Whatever a newer caller sends is none of this server's business.
        [] => TokenStream::new(),
        [(local, argument)] => {
            let pattern = pattern(service, argument, local);
            quote_spanned!(span=> let #pattern = request.argument()?;)
        }
        _ => {
            let names = locals.iter().map(|(_, argument)| argument.text());
            let patterns = locals.iter().map(|(local, argument)| pattern(service, argument, local));
            quote_spanned!(span=> let (#(#patterns),*) = request.arguments([#(#names),*])?;)
        }
    };
    quote!(#decoded #(#received)*)
}

/// What an argument is decoded into: bytes by a way of their own, which takes them at once and not one by one.
fn pattern(service: &Service, argument: &SentArgument, local: &Ident) -> TokenStream {
    let grid = &service.grid;
    match is_bytes(&argument.ty) && matches!(argument.form, Form::AsWritten) {
        true => quote_spanned!(Span::mixed_site()=> #grid::__private::FromBytes(#local)),
        false => quote!(#local),
    }
}

/// Gives what was decoded the type that the user wrote, or the owned form of it. An argument with a default is decoded
/// as an option.
fn received(service: &Service, argument: &SentArgument, local: &Ident) -> TokenStream {
    let grid = &service.grid;
    let span = Span::mixed_site();
    let (ty, function) = match &argument.form {
        Form::AsWritten => (&argument.ty, quote!(received)),
        Form::Reference(ty) => (ty, quote!(received)),
        Form::Slice(ty) => (ty, quote!(received_slice)),
    };
    let received = quote_spanned!(span=> <#ty as #grid::__private::ArgumentType<'_, _>>::#function(#local));
    if argument.default.is_none() {
        return quote_spanned!(span=> let #local = #received;);
    }
    let default = match &argument.form {
        Form::AsWritten | Form::Reference(_) => quote_spanned!(span=> <#ty as ::core::default::Default>::default()),
        Form::Slice(_) => quote_spanned!(span=> ::std::vec::Vec::new()),
    };
    quote_spanned! {span=>
        let #local = match #local {
            ::core::option::Option::Some(#local) => #received,
            ::core::option::Option::None => #default,
        };
    }
}

/// The arguments that the method of the trait takes behind `&self`.
fn arguments(method: &Method) -> Vec<TokenStream> {
    let span = Span::mixed_site();
    let mut locals = locals(method).into_iter();
    let argument = |argument: &Argument| match argument {
        Argument::Context(ContextArgument::Borrowed) => Some(quote_spanned!(span=> request.context())),
        Argument::Context(ContextArgument::Owned) => {
            Some(quote_spanned!(span=> ::core::clone::Clone::clone(request.context())))
        }
        Argument::Sent(_) => {
            let (local, argument) = locals.next()?;
            Some(match &argument.form {
                Form::AsWritten => quote!(#local),
                Form::Reference(_) | Form::Slice(_) => quote!(&#local),
            })
        }
        Argument::Inbound => Some(inbound(method)),
        Argument::Outbound => Some(outbound(method)),
    };
    method.arguments.iter().filter_map(argument).collect()
}

fn inbound(method: &Method) -> TokenStream {
    local("inbound", method.input.as_ref().map(|items| &items.ty))
}

fn outbound(method: &Method) -> TokenStream {
    local("outbound", Some(method.output.ty()))
}

/// A local at the place of a type, where rustc will point if it does not fit.
fn local(name: &str, ty: Option<&Type>) -> TokenStream {
    let span = Span::mixed_site();
    let local = Ident::new(name, ty.map_or(span, |ty| span.located_at(ty.span())));
    quote!(#local)
}
