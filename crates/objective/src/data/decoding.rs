//! Images of PNG, JPEG and WebP files, with the pixels that Pillow's `convert("RGB")` and `convert("L")` give.

use std::io::Cursor;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::images::Image;
use super::{Color, Preprocessing};
use crate::{Error, Result};

/// Pillow too warns of images with more pixels: a small file that unpacks to one of these is made to exhaust memory.
const MOST_PIXELS: u64 = 89_478_485;
/// The largest pixel of a decoder has four numbers of two bytes.
const MOST_BYTES: u64 = 8 * MOST_PIXELS;

/// The image of a file that is called `name`.
pub(super) fn decode(bytes: &[u8], color: Color, name: &str) -> Result<Image> {
    let broken = |cause: image::ImageError| {
        Error::input(
            format!("`{name}` is not an image that can be read: {cause}"),
            "check that the file was copied completely; PNG, JPEG and WebP are read",
        )
    };
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| broken(e.into()))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) {
        return Err(Error::input(
            format!("`{name}` is no PNG, JPEG or WebP image: it begins otherwise"),
            "convert it to PNG, which loses nothing",
        ));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(Error::input(
            format!("`{name}` says that it holds {width}x{height} pixels, more than {MOST_PIXELS}"),
            "leave it out, or make it smaller with another program",
        ));
    }
    let decoded = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let pixels = match color {
        Color::Rgb => {
            let rgb = rgb(decoded);
            (0..3).flat_map(|channel| rgb.iter().map(move |pixel| pixel[channel])).map(unit).collect()
        }
        Color::Gray => rgb(decoded).into_iter().map(luma).map(unit).collect(),
    };
    Ok(Image { channels: color.channels(), height: height as usize, width: width as usize, pixels })
}

fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Transparency is dropped; of 16 bits per channel the upper 8 stay, but greys are cut off at 255 as Pillow does.
fn rgb(image: DynamicImage) -> Vec<[u8; 3]> {
    let upper = |deep: u16| (deep >> 8) as u8;
    match image {
        DynamicImage::ImageLuma8(image) => image.pixels().map(|pixel| [pixel[0]; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().map(|pixel| [pixel[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => image.pixels().map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        DynamicImage::ImageLuma16(image) => image.pixels().map(|pixel| [pixel[0].min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().map(|pixel| [upper(pixel[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.pixels().map(|pixel| pixel.0.map(upper)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.pixels().map(|pixel| [pixel[0], pixel[1], pixel[2]].map(upper)).collect()
        }
        other => other.to_rgb8().pixels().map(|pixel| pixel.0).collect(),
    }
}

/// ITU-R 601-2 luma in Pillow's fixed point.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
}

/// Files of images that are decoded, resized and cut: all to the size of the first.
#[derive(Debug)]
pub(super) struct ImageReading {
    color: Color,
    preprocessing: Preprocessing,
    /// The first one's name, channels, height and width.
    first: OnceLock<(String, [usize; 3])>,
}

impl ImageReading {
    pub(super) fn new(color: Color, preprocessing: &Preprocessing) -> Self {
        Self { color, preprocessing: preprocessing.clone(), first: OnceLock::new() }
    }

    /// The images of files, each with its name, decoded side by side: (N, C, H, W).
    pub(super) fn read<T: Sync, B: AsRef<[u8]>>(
        &self,
        files: &[T],
        name: impl Fn(&T) -> String + Sync,
        bytes: impl Fn(&T) -> Result<B> + Sync,
    ) -> Result<Tensor> {
        let fitted: Vec<Result<Image>> = files
            .par_iter()
            .map(|file| self.preprocessing.fit(decode(bytes(file)?.as_ref(), self.color, &name(file))?))
            .collect();
        let mut all = Vec::new();
        for (file, image) in files.iter().zip(fitted) {
            let Image { channels, height, width, pixels } = image?;
            let size = [channels, height, width];
            let (first, expected) = self.first.get_or_init(|| (name(file), size));
            if *expected != size {
                let [_, of_first, by_first] = *expected;
                return Err(Error::input(
                    format!(
                        "images differ in size: `{first}` is {of_first}x{by_first}, `{}` {height}x{width}",
                        name(file)
                    ),
                    "bring them to one: `--resize 224x224`, or `--resize 256 --center-crop 224` as torchvision's models",
                ));
            }
            all.extend(pixels);
        }
        let [channels, height, width] = self.first.get().map_or([0; 3], |(_, size)| *size);
        Ok(Tensor::from_vec(all, (files.len(), channels, height, width), &Device::Cpu)?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/images/train");

    fn golden(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(GOLDENS).join(name)).unwrap()
    }

    #[test]
    fn a_header_of_too_many_pixels_is_refused_before_they_are_unpacked() {
        let mut png = golden("b/rgb.png");
        png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&png[12..29]);
        png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let error = decode(&png, Color::Rgb, "bomb.png").unwrap_err();
        assert!(error.to_string().contains("`bomb.png`"), "{error}");
        assert!(error.is_bad_input());
    }

    #[test]
    fn broken_images_are_named() {
        let png = golden("b/rgb.png");
        for bytes in [&b""[..], b"GIF89a", b"BM", &png[..png.len() / 2], &png[..20]] {
            let error = decode(bytes, Color::Rgb, "a.png").unwrap_err();
            assert!(error.is_bad_input() && error.to_string().contains("`a.png`"), "{error}");
        }
    }

    #[test]
    fn images_of_two_sizes_are_told_with_what_brings_them_to_one() {
        let image = |&size: &u32| {
            let mut bytes = Vec::new();
            let pixels = DynamicImage::new_luma8(size, size);
            pixels.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
            Ok(bytes)
        };
        let read = |preprocessing: &Preprocessing| {
            ImageReading::new(Color::Gray, preprocessing).read(&[2, 3], u32::to_string, image)
        };
        let error = read(&Preprocessing::default()).unwrap_err();
        assert!(error.to_string().contains("`2` is 2x2, `3` 3x3"), "{error}");
        assert!(error.hint().unwrap().contains("--resize"));
        assert_eq!(read(&"resize=4".parse().unwrap()).unwrap().dims(), [2, 1, 4, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn changed_images_are_read_or_refused(
            name in prop::sample::select(vec![
                "b/rgb.png", "b/9.png", "B/palette.png", "a/deep.png", "a/jpeg.JPG", "a/inner/webp.webp",
            ]),
            cut in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = golden(name);
            bytes.truncate(1 + cut.index(2 * bytes.len()));
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let _ = decode(&bytes, Color::Gray, name);
        }
    }
}
