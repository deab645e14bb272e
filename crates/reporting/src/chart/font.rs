//! The font of the figures: DejaVu Sans, embedded, so that a figure looks the same on a machine without fonts.

use std::sync::Once;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use super::drawing::TEXT;

const NAME: &str = "DejaVu Sans";

pub(super) static BYTES: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// The font at its one size.
pub(crate) fn text() -> FontDesc<'static> {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // Drawing text reports a font that is missing; a test keeps these bytes valid.
        let _ = register_font(NAME, FontStyle::Normal, BYTES);
    });
    FontDesc::new(FontFamily::Name(NAME), TEXT, FontStyle::Normal)
}

/// Width of a text in pixels.
pub(crate) fn width(words: &str) -> f64 {
    match text().box_size(words) {
        Ok((width, _)) => f64::from(width),
        Err(_) => 0.6 * TEXT * words.chars().count() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::{text, width};

    #[test]
    fn the_embedded_font_has_the_letters_of_the_field() {
        assert!(text().box_size("ελθα").is_ok(), "the font must be registered");
        assert!(width("mmmm") > 2.0 * width("iiii"), "widths must come from the font, not from a guess");
    }
}
