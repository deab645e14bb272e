//! The windows of pooling operations, as PyTorch places them.

use crate::{Error, Result};

/// The geometry of pooling: rows first, columns second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Height and width of a window.
    pub kernel: (usize, usize),
    /// Distance of neighbouring windows.
    pub stride: (usize, usize),
    /// Positions added on each side, at most half of the kernel.
    pub padding: (usize, usize),
    /// Distance of neighbouring window entries.
    pub dilation: (usize, usize),
    /// Whether a last window that sticks out counts; it must start inside the input or its left padding.
    pub ceil_mode: bool,
}

impl Pool2d {
    /// Square windows side by side, as PyTorch's default.
    pub fn square(size: usize) -> Self {
        Self { kernel: (size, size), stride: (size, size), padding: (0, 0), dilation: (1, 1), ceil_mode: false }
    }

    fn axis(&self, axis: usize) -> (usize, usize, usize, usize) {
        let pick = |pair: (usize, usize)| if axis == 0 { pair.0 } else { pair.1 };
        (pick(self.kernel), pick(self.stride), pick(self.padding), pick(self.dilation))
    }

    /// The number of windows along both axes of a plane.
    ///
    /// # Errors
    /// When a size is zero, the padding exceeds half of the kernel, no window fits, or a dilated one steps over the input.
    pub fn output_size(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        Ok((self.windows(0, height)?, self.windows(1, width)?))
    }

    fn windows(&self, axis: usize, size: usize) -> Result<usize> {
        let (kernel, stride, padding, dilation) = self.axis(axis);
        if [kernel, stride, dilation].contains(&0) || padding > kernel / 2 {
            return Err(Error::unsupported(
                "pool2d",
                format!(
                    "kernel {kernel}, stride {stride}, dilation {dilation} must be at least 1 and padding {padding} at most half of the kernel"
                ),
            ));
        }
        let reach = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let room = size
            .saturating_add(2 * padding)
            .checked_sub(reach)
            .filter(|_| size > 0)
            .ok_or_else(|| Error::shape("pool2d", format!("a padded extent of at least {reach}"), &[size]))?;
        let floor = room / stride + 1;
        let ceil = room.div_ceil(stride) + 1;
        let windows = if !self.ceil_mode || (ceil - 1) * stride >= size + padding { floor } else { ceil };
        match (0..windows).find(|&index| self.window(axis, index, size).next().is_none()) {
            None => Ok(windows),
            Some(index) => Err(Error::unsupported(
                "pool2d",
                format!("window {index} with dilation {dilation} holds no position of an extent of {size}"),
            )),
        }
    }

    /// The positions of window `index` along an axis which lie inside `0..size`.
    pub(crate) fn window(&self, axis: usize, index: usize, size: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (kernel, stride, padding, dilation) = self.axis(axis);
        (0..kernel)
            .filter_map(move |k| (index * stride + k * dilation).checked_sub(padding))
            .filter(move |&position| position < size)
    }

    /// The divisor of an average along an axis: window positions inside the plane, or inside the padded plane.
    pub(crate) fn divisor(&self, axis: usize, index: usize, size: usize, count_padding: bool) -> usize {
        let (kernel, stride, padding, _) = self.axis(axis);
        if count_padding {
            kernel.min((size + 2 * padding).saturating_sub(index * stride))
        } else {
            self.window(axis, index, size).count()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_by_pytorch() {
        // (size, kernel, stride, padding, ceil) -> windows, from torch.nn.MaxPool2d's documented formula.
        for (size, kernel, stride, padding, ceil_mode, expected) in [
            (5, 2, 2, 0, false, 2),
            (5, 2, 2, 0, true, 3),
            (4, 3, 3, 1, true, 2),
            (7, 3, 2, 1, false, 4),
            (5, 1, 3, 0, true, 2),
        ] {
            let pool =
                Pool2d { kernel: (kernel, 1), stride: (stride, 1), padding: (padding, 0), dilation: (1, 1), ceil_mode };
            assert_eq!(pool.output_size(size, 1).expect("valid").0, expected, "{size} {kernel} {stride} {padding}");
        }
    }

    #[test]
    fn windows_that_step_over_the_input_are_refused() {
        // Positions −1 and 2 of an extent of 2: there is no maximum (PyTorch says −∞).
        let pool = Pool2d { padding: (1, 1), dilation: (3, 1), stride: (1, 1), ..Pool2d::square(2) };
        assert!(pool.output_size(2, 8).is_err());
        assert_eq!(pool.output_size(3, 8).expect("valid"), (2, 9));
    }

    #[test]
    fn impossible_geometries_are_refused() {
        assert!(Pool2d::square(4).output_size(3, 8).is_err());
        assert!(Pool2d { padding: (2, 0), ..Pool2d::square(3) }.output_size(8, 8).is_err());
        assert!(Pool2d { stride: (0, 1), ..Pool2d::square(2) }.output_size(8, 8).is_err());
    }
}
