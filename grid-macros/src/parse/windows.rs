//! The windows of a method: which of them `#[rpc(..)]` gives, and whether there are items for them.

use syn::Ident;

use super::settings::Setting;
use super::streams::Direction;
use crate::errors::Errors;

/// The windows that the attribute gives. Each is taken for the direction that it is for, and none may be left.
#[derive(Debug, Default)]
pub(super) struct WindowSettings {
    both: Option<Window>,
    inbound: Option<Window>,
    outbound: Option<Window>,
    both_taken: bool,
}

/// One of the settings.
#[derive(Debug)]
struct Window {
    key: Ident,
    /// `None` if it could not be read.
    items: Option<u32>,
}

impl WindowSettings {
    /// Reads `window`, `in_window` or `out_window`. `false` for any other setting.
    pub(super) fn read(&mut self, setting: &Setting, errors: &mut Errors) -> bool {
        let place = match setting.key.to_string().as_str() {
            "window" => &mut self.both,
            "in_window" => &mut self.inbound,
            "out_window" => &mut self.outbound,
            _ => return false,
        };
        *place = Some(Window { key: setting.key.clone(), items: setting.integer(1..=ITEMS_MAX, errors) });
        true
    }

    /// The window of a direction that has items.
    pub(super) fn take(&mut self, direction: Direction, errors: &mut Errors) -> Option<u32> {
        let own = match direction {
            Direction::In => self.inbound.take(),
            Direction::Out => self.outbound.take(),
        };
        self.both_taken = true;
        match (own, &self.both) {
            (Some(own), Some(both)) => {
                errors.at(&own.key, format_args!("`{}` gives this window, too: keep one of the two", both.key));
                None
            }
            (Some(Window { items, .. }), None) => items,
            (None, both) => both.as_ref().and_then(|both| both.items),
        }
    }

    /// Reports what was not taken.
    pub(super) fn finish(self, errors: &mut Errors) {
        let Self { both, inbound, outbound, both_taken } = self;
        if let Some(Window { key, .. }) = both.filter(|_| !both_taken) {
            errors.at(&key, format_args!("a single request has no window: remove `{key}`"));
        }
        if let Some(Window { key, .. }) = inbound {
            errors.at(&key, format_args!("no items come in: remove `{key}`, or take them by an `Inbound<T>`"));
        }
        if let Some(Window { key, .. }) = outbound {
            errors.at(&key, format_args!("no items go out: remove `{key}`, or return `impl Stream<Item = T>`"));
        }
    }
}

/// As `grid::Windows::MAX`.
const ITEMS_MAX: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::super::settings;
    use super::*;

    fn windows(tokens: proc_macro2::TokenStream, errors: &mut Errors) -> WindowSettings {
        let mut windows = WindowSettings::default();
        for setting in settings::parse(tokens, errors) {
            assert!(windows.read(&setting, errors));
        }
        windows
    }

    #[test]
    fn a_window_for_both_is_taken_by_any_and_one_for_a_direction_by_it_alone() {
        let mut errors = Errors::new();
        let mut both = windows(quote!(window = 65536), &mut errors);
        assert_eq!(both.take(Direction::In, &mut errors), Some(65536));
        assert_eq!(both.take(Direction::Out, &mut errors), Some(65536));
        both.finish(&mut errors);
        let mut each = windows(quote!(in_window = 1, out_window = 2), &mut errors);
        assert_eq!(each.take(Direction::Out, &mut errors), Some(2));
        assert_eq!(each.take(Direction::In, &mut errors), Some(1));
        each.finish(&mut errors);
        assert_eq!(WindowSettings::default().take(Direction::In, &mut errors), None);
        assert_eq!(errors.finish().to_string(), "");
    }

    #[test]
    fn each_window_that_is_not_taken_is_a_misuse() {
        let mut errors = Errors::new();
        windows(quote!(window = 1, in_window = 1, out_window = 1), &mut errors).finish(&mut errors);
        assert_eq!(errors.count(), 3);
        assert!(!errors.finish().is_empty());
    }

    #[test]
    fn the_largest_window_is_that_of_grid() {
        assert_eq!(ITEMS_MAX, grid::Windows::MAX);
    }
}
