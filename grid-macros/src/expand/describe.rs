//! The description of a service and its methods, as constants.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Type;

use super::{description_name, docs};
use crate::model::{Codec, Items, Method, Output, Service};
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
    let kind = kind(service, method);
    let text = |ty: &Type| render(ty).to_token_stream();
    let input = option(method.input.as_ref().map(|input| text(&input.ty)));
    let answer = text(method.output.ty());
    let error = option(method.error.as_ref().map(text));
    let timeout = option(method.timeout.map(|timeout| {
        let (seconds, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
        quote!(::core::time::Duration::new(#seconds, #nanos))
    }));
    quote! {
        #grid::MethodDescription {
            service: #service_name,
            name: #name,
            id: #grid::HandlerId::new(#id, #method_id),
            kind: #kind,
            codec: #codec,
            docs: #docs,
            arguments: &[#(#arguments),*],
            input: #input,
            answer: #answer,
            error: #error,
            timeout: #timeout,
            detach: #detach,
        }
    }
}

fn kind(service: &Service, method: &Method) -> TokenStream {
    let grid = &service.grid;
    let window = |items: &Items| match items.window {
        Some(window) => quote!(#window),
        None => quote!(#grid::Windows::DEFAULT),
    };
    let kind = match (&method.input, &method.output) {
        (None, Output::Answer(_)) => quote!(Single),
        (None, Output::Sent(output) | Output::Returned(output)) => {
            let out_window = window(output);
            quote!(Responses { out_window: #out_window })
        }
        (Some(input), Output::Answer(_)) => {
            let in_window = window(input);
            quote!(Requests { in_window: #in_window })
        }
        (Some(input), Output::Sent(output) | Output::Returned(output)) => {
            let (in_window, out_window) = (window(input), window(output));
            quote!(TwoWay { in_window: #in_window, out_window: #out_window })
        }
    };
    quote!(#grid::MethodKind::#kind)
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
