//! The server of a service: decodes the arguments of a request, calls the trait, encodes the answer.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Ident;

use super::{allows, client_name, docs, locals, server_name};
use crate::model::{Argument, ContextArgument, Form, Method, SentArgument, Service};

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
    let reply = reply(service, method);
    quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        #(#allows)*
        #id => {
            let service = ::std::sync::Arc::clone(&self.0);
            ::std::boxed::Box::pin(async move {
                #decode
                #reply
            })
        }
    }
}

/// Calls the trait and encodes what it answers. The types are asserted as in the client.
fn reply(service: &Service, method: &Method) -> TokenStream {
    let Service { grid, name: service_name, .. } = service;
    let Method { name, answer, .. } = method;
    let arguments = arguments(method);
    let span = Span::mixed_site();
    let result = quote_spanned!(span=> <__Service as #service_name>::#name(&*service, #(#arguments),*).await);
    let answer = quote!(<#answer as #grid::__private::AnswerType<_>>);
    match &method.error {
        Some(error) => {
            let error = quote!(<#error as #grid::__private::ErrorType<_>>);
            quote_spanned!(span=> request.reply(#error::sent_err(#answer::sent_ok(#result))))
        }
        None => quote_spanned!(span=> request.reply_infallible(#answer::sent(#result))),
    }
}

/// Decodes the arguments into [`locals`].
fn decode(service: &Service, method: &Method) -> TokenStream {
    let locals = locals(method);
    let span = Span::mixed_site();
    let received = locals.iter().map(|(local, argument)| received(service, argument, local));
    let decoded = match locals.as_slice() {
        // Whatever a newer caller sends is none of this server's business.
        [] => TokenStream::new(),
        [(local, _)] => quote_spanned!(span=> let #local = request.argument()?;),
        _ => {
            let names = locals.iter().map(|(_, argument)| argument.text());
            let locals = locals.iter().map(|(local, _)| local);
            quote_spanned!(span=> let (#(#locals),*) = request.arguments([#(#names),*])?;)
        }
    };
    quote!(#decoded #(#received)*)
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
    };
    method.arguments.iter().filter_map(argument).collect()
}
