//! Types as text, the way they are usually written: `&[u8]` and not `& [u8]`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The type as text.
pub(crate) fn render(ty: impl ToTokens) -> String {
    let mut out = String::new();
    write(ty.to_token_stream(), &mut out);
    out
}

fn write(tokens: TokenStream, out: &mut String) {
    let mut wants_space = false;
    for token in tokens {
        let follows_word = out.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let is_word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        if wants_space || (is_word && follows_word) {
            out.push(' ');
        }
        wants_space = false;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = brackets(group.delimiter());
                out.push_str(open);
                write(group.stream(), out);
                out.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                '>' if out.ends_with('-') => {
                    out.pop();
                    out.push_str(" ->");
                    wants_space = true;
                }
                mark @ ('+' | '=') => {
                    out.push(' ');
                    out.push(mark);
                    wants_space = true;
                }
                mark => {
                    out.push(mark);
                    wants_space = mark == ',' || mark == ';';
                }
            },
            word => out.push_str(&word.to_string()),
        }
    }
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_people_write_them() {
        for text in [
            "&str",
            "&[u8]",
            "Option<Vec<u8>>",
            "std::collections::HashMap<String, (u8, [u32; 4])>",
            "Cow<'_, str>",
            "&'a mut T",
            "Box<dyn Fn(u8, u16) -> Vec<u8> + Send>",
            "impl Iterator<Item = u8>",
            "(u8,)",
            "()",
        ] {
            let ty: syn::Type = syn::parse_str(text).unwrap();
            assert_eq!(render(ty), text);
        }
    }
}
