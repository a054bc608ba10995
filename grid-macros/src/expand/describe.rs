//! The description of a service and its methods, as constants.

use proc_macro2::TokenStream;
use quote::quote;

use super::{description_name, docs};
use crate::model::{Codec, Method, Service};
use crate::render::render;

/// The `ServiceDescription`, inside an impl for the client.
pub(super) fn service(service: &Service) -> TokenStream {
    let Service { grid, id, docs, .. } = service;
    let name = service.text();
    let codec = codec(service);
    let methods = service.methods.iter().map(|method| {
        let (cfgs, description) = (&method.cfgs, description_name(method));
        quote!(#(#cfgs)* Self::#description)
    });
    quote! {
        #grid::ServiceDescription {
            name: #name,
            id: #id,
            codec: #codec,
            docs: #docs,
            methods: &[#(#methods),*],
        }
    }
}

/// The constants of a method: its handler id, for users, and its description, for generated code.
pub(super) fn constants(service: &Service, method: &Method) -> TokenStream {
    let Service { grid, vis, .. } = service;
    let Method { cfgs, .. } = method;
    let (constant, description) = (method.constant(), description_name(method));
    let docs = docs(&format!("The handler id of `{}`.", method.text()));
    let value = self::method(service, method);
    quote! {
        #docs
        #(#cfgs)*
        #vis const #constant: #grid::HandlerId = Self::#description.id;
        #(#cfgs)*
        const #description: #grid::MethodDescription = #value;
    }
}

fn method(service: &Service, method: &Method) -> TokenStream {
    let Service { grid, id, .. } = service;
    let Method { detach, docs, .. } = method;
    let (service_name, name, method_id) = (service.text(), method.text(), method.id.value);
    let codec = codec(service);
    let arguments = method.sent().map(|argument| {
        let (name, type_name) = (argument.text(), render(&argument.ty));
        quote!(#grid::ArgumentDescription { name: #name, type_name: #type_name })
    });
    let answer = render(&method.answer);
    let error = option(method.error.as_ref().map(|error| {
        let error = render(error);
        quote!(#error)
    }));
    let timeout = option(method.timeout.map(|timeout| {
        let (seconds, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
        quote!(::core::time::Duration::new(#seconds, #nanos))
    }));
    quote! {
        #grid::MethodDescription {
            service: #service_name,
            name: #name,
            id: #grid::HandlerId::new(#id, #method_id),
            kind: #grid::MethodKind::Single,
            codec: #codec,
            docs: #docs,
            arguments: &[#(#arguments),*],
            answer: #answer,
            error: #error,
            timeout: #timeout,
            detach: #detach,
        }
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn codec(service: &Service) -> TokenStream {
    let grid = &service.grid;
    match service.codec {
        Codec::Named => quote!(#grid::Codec::Named),
        Codec::Compact => quote!(#grid::Codec::Compact),
    }
}
