//! The client of a service: a method of the same name for each of the trait, which makes a call.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Ident;

use super::{Encodings, allows, client_name, describe, description_name, docs, encodings};
use crate::model::{Form, Items, Method, Output, SentArgument, Service};
use crate::parse::is_bytes;

pub(super) fn expand(service: &Service) -> TokenStream {
    let Service { grid, vis, deprecated, .. } = service;
    let client = client_name(service);
    let allows = allows(service);
    let constructor = constructor(service);
    let docs = struct_docs(service);
    let constants = service.methods.iter().map(|method| describe::constants(service, method));
    let methods = service.methods.iter().map(|method| expand_method(service, method));
    let description = describe::service(service);
    quote_spanned! {Span::mixed_site()=>
        #allows
        #docs
        #(#deprecated)*
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #vis struct #client {
            connection: #grid::Connection,
        }

        #allows
        impl #client {
            #constructor
            #(#methods)*
            #(#constants)*
        }

        #allows
        #[automatically_derived]
        impl ::core::convert::From<#grid::Connection> for #client {
            fn from(connection: #grid::Connection) -> Self {
                Self { connection }
            }
        }

        #allows
        #[automatically_derived]
        impl #grid::Describe for #client {
            const DESCRIPTION: #grid::ServiceDescription = #description;
        }
    }
}

fn struct_docs(service: &Service) -> TokenStream {
    let (service_name, client) = (service.text(), client_name(service));
    let made = if has_new(service) {
        format!(
            "The service has a method called `new`, so a client is made with `{client}::from(connection)` or \
             `connection.into()`."
        )
    } else {
        "It is a cheap handle: clone it, or make another from the same connection.".to_owned()
    };
    docs(&format!("Calls [`{service_name}`] where a connection leads.\n\n{made}"))
}

/// A method of the service called `new` takes the place of the constructor.
fn has_new(service: &Service) -> bool {
    service.methods.iter().any(|method| method.text() == "new")
}

fn constructor(service: &Service) -> Option<TokenStream> {
    if has_new(service) {
        return None;
    }
    let Service { grid, vis, .. } = service;
    let docs = docs("Calls where this connection leads.");
    Some(quote_spanned! {Span::mixed_site()=>
        #docs
        #[must_use]
        #vis fn new(connection: #grid::Connection) -> Self {
            Self { connection }
        }
    })
}

fn expand_method(service: &Service, method: &Method) -> TokenStream {
    let Service { grid, vis, .. } = service;
    let Method { name, cfgs, allows, client_attributes, .. } = method;
    let fallback = method.docs.is_empty().then(|| docs(&format!("Calls `{}`.", method.text())));
    let parameters = method.sent().map(|argument| {
        let (name, ty) = (parameter(argument), &argument.ty);
        quote!(#name: #ty)
    });
    let error = match &method.error {
        Some(error) => quote!(#error),
        None => quote!(::core::convert::Infallible),
    };
    let given = given(service, method, &error);
    let call = call(service, method);
    quote_spanned! {Span::mixed_site()=>
        #fallback
        #(#client_attributes)*
        #(#allows)*
        #(#cfgs)*
        #vis fn #name(&self, #(#parameters),*) -> #grid::Call<#given, #error> {
            #call
        }
    }
}

/// What a call gives when it is awaited: the answer, or the caller's ends of its streams.
fn given(service: &Service, method: &Method, error: &TokenStream) -> TokenStream {
    let grid = &service.grid;
    let ty = method.output.ty();
    let received = match (&method.input, &method.output) {
        (None, Output::Answer(_)) => quote!(#ty),
        (Some(_), Output::Answer(_)) => quote!(#grid::AnswerFuture<#ty, #error>),
        (_, Output::Sent(_) | Output::Returned(_)) => quote!(#grid::Inbound<#ty, #error>),
    };
    match &method.input {
        None => received,
        Some(Items { ty, .. }) => quote!((#grid::Outbound<#ty>, #received)),
    }
}

/// The call. Its types are asserted to be ones that can be sent, each at the type that the user wrote.
fn call(service: &Service, method: &Method) -> TokenStream {
    let grid = &service.grid;
    let description = description_name(method);
    let arguments = arguments(service, method);
    let function = match (&method.input, &method.output) {
        (None, Output::Answer(_)) => quote!(call),
        (None, Output::Sent(_) | Output::Returned(_)) => quote!(call_responses),
        (Some(_), Output::Answer(_)) => quote!(call_requests),
        (Some(_), Output::Sent(_) | Output::Returned(_)) => quote!(call_two_way),
    };
    let Encodings { input, output, error } = encodings(service, method);
    let encodings = input.iter().chain([&output]);
    let faults = match error {
        Some(error) => quote!(typed(#error)),
        None => quote!(none()),
    };
    quote_spanned! {Span::mixed_site()=>
        #grid::__private::#function(
            &self.connection,
            &Self::#description,
            #arguments,
            #(#encodings,)*
            #grid::__private::Faults::#faults,
        )
    }
}

/// The arguments as `grid::__private` encodes them.
fn arguments(service: &Service, method: &Method) -> TokenStream {
    let grid = &service.grid;
    let names: Vec<String> = method.sent().map(SentArgument::text).collect();
    let values: Vec<TokenStream> = method.sent().map(|argument| sent(service, argument)).collect();
    match values.as_slice() {
        [] => quote!(#grid::__private::NoArguments),
        [value] => quote!(#grid::__private::One(#value)),
        values => quote!(#grid::__private::Named([#(#names),*], (#(#values),*))),
    }
}

/// A reference to an argument.
fn sent(service: &Service, argument: &SentArgument) -> TokenStream {
    let grid = &service.grid;
    let name = parameter(argument);
    if is_bytes(&argument.ty) {
        return quote!(&#grid::__private::AsBytes(&#name));
    }
    match &argument.form {
        Form::AsWritten => {
            let ty = &argument.ty;
            quote!(<#ty as #grid::__private::ArgumentType<'_, _>>::sent(&#name))
        }
        Form::Reference(ty) => quote!(<#ty as #grid::__private::ArgumentType<'_, _>>::sent(#name)),
        Form::Slice(ty) => quote!(<#ty as #grid::__private::ArgumentType<'_, _>>::sent_slice(#name)),
    }
}

/// The parameter of an argument: called as the user called it, but seen by generated code alone.
fn parameter(argument: &SentArgument) -> Ident {
    let mut name = argument.name.clone();
    name.set_span(Span::mixed_site().located_at(name.span()));
    name
}
