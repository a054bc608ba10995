//! Texts about faults, in which what a peer sent may be quoted.

use std::fmt::{self, Display, Write};

/// Bytes of such a text. Fits the smallest that a message may be, 1 KiB.
pub(crate) const TEXT_MAX: usize = 512;

/// The first [`TEXT_MAX`] bytes. No more is written than that, however long what is quoted.
pub(crate) fn bounded(text: impl Display) -> Box<str> {
    let mut bounded = Bounded(String::new());
    // It fails where the text is cut off.
    let _cut_off = write!(bounded, "{text}");
    bounded.0.into()
}

/// The first [`TEXT_MAX`] bytes of a text that is there.
pub(crate) fn cut(text: Box<str>) -> Box<str> {
    match text.get(..text.floor_char_boundary(TEXT_MAX)) {
        Some(start) if start.len() < text.len() => start.into(),
        Some(_) | None => text,
    }
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.floor_char_boundary(TEXT_MAX - self.0.len());
        self.0.push_str(text.get(..fits).unwrap_or_default());
        match fits == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        assert_eq!(&*bounded(format_args!("{}", 7)), "7");
        assert_eq!(&*cut("short".into()), "short");
        let long = format!("x{}", "ä".repeat(TEXT_MAX));
        assert_eq!(bounded(&long).len(), TEXT_MAX - 1);
        assert_eq!(cut(long.clone().into()), bounded(&long));
        assert_eq!(bounded(format_args!("{:?}", "\u{7f}".repeat(TEXT_MAX))).len(), TEXT_MAX);
    }
}
