//! The inner loop of convolution on the widest registers that this machine has.
//!
//! It reads patches by two offsets: lane i of vector c in row k lies at `rows[k] + lanes[c] + i`. So the rows of a
//! padded image, shifted, serve as they are, and a packed patch matrix is the same case.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of numbers. Its methods need the processor features of the type; `load` and `store` touch `LANES`
/// elements at any alignment.
#[expect(unsafe_code, reason = "every method is an intrinsic or a raw access")]
trait Vector: Copy {
    type Element: Copy;
    const LANES: usize;
    unsafe fn splat(x: Self::Element) -> Self;
    unsafe fn load(from: *const Self::Element) -> Self;
    unsafe fn store(self, to: *mut Self::Element);
    /// self·b + c.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

macro_rules! x86_vector {
    ($vector:ty, $element:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $mul_add:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "processor intrinsics; used only behind a check of the features")]
        impl Vector for $vector {
            type Element = $element;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: $element) -> Self {
                unsafe { $splat(x) }
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                unsafe { $mul_add(self, b, c) }
            }
        }
    };
}

x86_vector!(__m512, f32, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
x86_vector!(__m512d, f64, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd);
x86_vector!(__m256, f32, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
x86_vector!(__m256d, f64, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd);

/// Registers of processors without kernels of their own: arrays, which the compiler turns into what there is.
macro_rules! array_vector {
    ($element:ty, $lanes:literal) => {
        #[expect(unsafe_code, reason = "the trait's loads and stores are raw")]
        impl Vector for [$element; $lanes] {
            type Element = $element;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: $element) -> Self {
                [x; $lanes]
            }

            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                unsafe { from.cast::<Self>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                unsafe { to.cast::<Self>().write_unaligned(self) }
            }

            #[inline(always)]
            unsafe fn mul_add(mut self, b: Self, c: Self) -> Self {
                for i in 0..$lanes {
                    self[i] = self[i] * b[i] + c[i];
                }
                self
            }
        }
    };
}

array_vector!(f32, 8);
array_vector!(f64, 4);

/// Adds Σₖ w[r][k] · patch[k][position] to a tile of R channels by C vectors of positions; `weights` holds R numbers for
/// each row of patches.
#[expect(unsafe_code, reason = "registers are filled from raw pointers; `Microkernel` asserts the bounds")]
#[inline(always)]
unsafe fn add_products<V: Vector, const R: usize, const C: usize>(
    weights: *const V::Element,
    patches: *const V::Element,
    rows: &[usize],
    lanes: &[usize],
    tile: *mut V::Element,
) {
    unsafe {
        let mut sums = [[V::load(tile); C]; R];
        for r in 0..R {
            for c in 0..C {
                sums[r][c] = V::load(tile.add((r * C + c) * V::LANES));
            }
        }
        let mut columns = [patches; C];
        for c in 0..C {
            columns[c] = patches.add(lanes[c]);
        }
        for (k, &row) in rows.iter().enumerate() {
            let mut x = [sums[0][0]; C];
            for c in 0..C {
                x[c] = V::load(columns[c].add(row));
            }
            for r in 0..R {
                let w = V::splat(*weights.add(k * R + r));
                for c in 0..C {
                    sums[r][c] = w.mul_add(x[c], sums[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                sums[r][c].store(tile.add((r * C + c) * V::LANES));
            }
        }
    }
}

/// The inner loop for one kind of register, with the size of its tiles.
pub(crate) struct Microkernel<T> {
    /// Numbers in a register.
    pub(super) lanes: usize,
    /// Channels of a tile.
    pub(super) channels: usize,
    /// Registers in a row of a tile.
    pub(super) vectors: usize,
    add_products: unsafe fn(*const T, *const T, &[usize], &[usize], *mut T),
}

/// The rows of a matrix inside a slice, by their first elements.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    offsets: Vec<usize>,
    largest: usize,
}

impl FromIterator<usize> for Rows {
    fn from_iter<I: IntoIterator<Item = usize>>(offsets: I) -> Self {
        let offsets: Vec<usize> = offsets.into_iter().collect();
        let largest = offsets.iter().max().copied().unwrap_or(0);
        Self { offsets, largest }
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.iter().copied()
    }
}

impl<T: Copy> Microkernel<T> {
    /// Numbers in a row of a tile.
    pub(super) fn width(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Adds to `tile` the products of `weights`, one for each channel of the tile in each row, with the registers at
    /// `lanes` in the rows of `patches`.
    pub(super) fn add_products(&self, weights: &[T], patches: &[T], rows: &Rows, lanes: &[usize], tile: &mut [T]) {
        let last = lanes.iter().max().copied().unwrap_or(0);
        assert!(lanes.len() == self.vectors && tile.len() == self.channels * self.width(), "a whole tile");
        assert!(weights.len() == self.channels * rows.len(), "weights for every row");
        assert!(rows.len() == 0 || rows.largest + last + self.lanes <= patches.len(), "patches inside their slice");
        #[expect(unsafe_code, reason = "the assertions hold all accesses in bounds; `runnable` checked the features")]
        unsafe {
            (self.add_products)(weights.as_ptr(), patches.as_ptr(), &rows.offsets, lanes, tile.as_mut_ptr());
        }
    }
}

/// A microkernel for one kind of register, compiled for its processor features.
macro_rules! microkernel {
    ($name:ident, $element:ty, $vector:ty, $channels:literal, $vectors:literal $(, $features:literal)?) => {
        pub(super) static $name: Microkernel<$element> = {
            #[expect(unsafe_code, reason = "compiled for features which `runnable` checks")]
            $(#[target_feature(enable = $features)])?
            unsafe fn add(
                weights: *const $element,
                patches: *const $element,
                rows: &[usize],
                lanes: &[usize],
                tile: *mut $element,
            ) {
                unsafe { add_products::<$vector, $channels, $vectors>(weights, patches, rows, lanes, tile) }
            }
            Microkernel {
                lanes: <$vector as Vector>::LANES,
                channels: $channels,
                vectors: $vectors,
                add_products: add,
            }
        };
    };
}

microkernel!(ARRAYS_F32, f32, [f32; 8], 4, 2);
microkernel!(ARRAYS_F64, f64, [f64; 4], 4, 2);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    // 32 registers: 16 sums, the rest for what is multiplied.
    microkernel!(AVX512_F32, f32, __m512, 8, 2, "avx512f");
    microkernel!(AVX512_F64, f64, __m512d, 8, 2, "avx512f");
    // 16 registers: 12 sums.
    microkernel!(AVX2_F32, f32, __m256, 4, 3, "avx2,fma");
    microkernel!(AVX2_F64, f64, __m256d, 4, 3, "avx2,fma");

    /// Those of two whose features the processor has.
    pub(super) fn runnable<T>(
        avx512: &'static Microkernel<T>,
        avx2: &'static Microkernel<T>,
    ) -> impl Iterator<Item = &'static Microkernel<T>> {
        let has_avx512 = is_x86_feature_detected!("avx512f").then_some(avx512);
        let has_avx2 = (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(avx2);
        has_avx512.into_iter().chain(has_avx2)
    }
}

/// The microkernels that this processor can run, the widest registers first.
pub(super) fn runnable_f32() -> Vec<&'static Microkernel<f32>> {
    let mut kernels = vec![&ARRAYS_F32];
    #[cfg(target_arch = "x86_64")]
    kernels.splice(0..0, x86::runnable(&x86::AVX512_F32, &x86::AVX2_F32));
    kernels
}

/// The microkernels that this processor can run, the widest registers first.
pub(super) fn runnable_f64() -> Vec<&'static Microkernel<f64>> {
    let mut kernels = vec![&ARRAYS_F64];
    #[cfg(target_arch = "x86_64")]
    kernels.splice(0..0, x86::runnable(&x86::AVX512_F64, &x86::AVX2_F64));
    kernels
}
