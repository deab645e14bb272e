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
    /// Columns whose numbers leave the same rest by this are laid side by side, one rest behind the other: what a stride
    /// would read apart then lies together.
    pub(super) phases: usize,
}

impl Padding {
    /// Elements of an image without padding.
    pub(super) fn image_len(&self) -> usize {
        self.channels * self.size.0 * self.size.1
    }

    /// Elements of an image with padding.
    pub(super) fn padded_len(&self) -> usize {
        self.channels * self.padded.0 * self.pitch()
    }

    /// Where a column of a padded plane lies in its row.
    pub(super) fn column(&self, column: usize) -> usize {
        column % self.phases * self.padded.1.div_ceil(self.phases) + column / self.phases
    }

    /// The length of a padded row.
    pub(super) fn pitch(&self) -> usize {
        self.padded.1.next_multiple_of(self.phases)
    }

    /// The images with zeros around their planes, in `scratch` unless there is nothing to do.
    pub(super) fn pad<'a, T: Element>(&self, images: &'a [T], scratch: &'a mut Vec<T>) -> &'a [T] {
        if self.padded == self.size && self.phases == 1 {
            return images;
        }
        let ((height, width), pitch) = (self.size, self.pitch());
        let planes = images.len() / (height * width).max(1);
        // The border stays zero from one block to the next; only the insides are written again.
        scratch.resize(planes * self.padded.0 * pitch, T::ZERO);
        let planes = scratch.chunks_exact_mut(self.padded.0 * pitch).zip(images.chunks_exact(height * width));
        for (padded, plane) in planes {
            let rows = padded.chunks_exact_mut(pitch).skip(self.before.0).zip(plane.chunks_exact(width));
            for (padded, row) in rows {
                if self.phases == 1 {
                    padded[self.before.1..][..width].copy_from_slice(row);
                } else {
                    for phase in 0..self.phases {
                        // The first column of the image that leaves this rest.
                        let first = (phase + self.phases - self.before.1 % self.phases) % self.phases;
                        let target = self.column(first + self.before.1);
                        let columns = row.iter().skip(first).step_by(self.phases);
                        padded[target..].iter_mut().zip(columns).for_each(|(padded, &x)| *padded = x);
                    }
                }
            }
        }
        scratch
    }
}
