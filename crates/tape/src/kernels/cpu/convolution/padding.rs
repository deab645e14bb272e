//! Images with zeros around them.

use super::Element;

/// The planes of an image and the zeros to put around each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padding {
    /// Channels of an image, over all groups.
    pub(super) channels: usize,
    /// Height and width of a plane without padding.
    pub(super) size: (usize, usize),
    /// Zeros above and to the left.
    pub(super) before: (usize, usize),
    /// Height and width of a plane with padding.
    pub(super) padded: (usize, usize),
}

impl Padding {
    /// Elements of an image without padding.
    pub(super) fn image_len(&self) -> usize {
        self.channels * self.size.0 * self.size.1
    }

    /// Elements of an image with padding.
    pub(super) fn padded_len(&self) -> usize {
        self.channels * self.padded.0 * self.padded.1
    }

    /// The images with zeros around their planes, in `scratch` unless there is nothing to pad.
    pub(super) fn pad<'a, T: Element>(&self, images: &'a [T], scratch: &'a mut Vec<T>) -> &'a [T] {
        if self.padded == self.size {
            return images;
        }
        let ((height, width), (padded_height, padded_width)) = (self.size, self.padded);
        let planes = images.len() / (height * width).max(1);
        // The border stays zero from one block to the next; only the insides are written again.
        scratch.resize(planes * padded_height * padded_width, T::ZERO);
        let planes = scratch.chunks_exact_mut(padded_height * padded_width).zip(images.chunks_exact(height * width));
        for (padded, plane) in planes {
            let rows = padded.chunks_exact_mut(padded_width).skip(self.before.0).zip(plane.chunks_exact(width));
            rows.for_each(|(padded, row)| padded[self.before.1..][..width].copy_from_slice(row));
        }
        scratch
    }
}
