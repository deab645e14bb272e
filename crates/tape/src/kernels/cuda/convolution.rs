//! Convolution and its two adjoints by cuDNN, where candle offers the first alone.
//!
//! Each product is added to what is there, so that a sum over pairs needs no memory beside its result. Algorithms are
//! cuDNN's choice among those that give the same bits from run to run, in numbers of full width: no TF32.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cudnn::safe::{
    ConvBackwardData, ConvBackwardFilter, ConvForward, Cudnn, CudnnDataType,
};
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::cuda_backend::{CudaDType, CudaDevice, DeviceId};
use candle_core::{CpuStorage, CudaStorage, DType, InplaceOp3, Layout, Tensor, WithDType};

use crate::Result;
use crate::ops::Conv2d;

thread_local! {
    /// A handle of cuDNN must stay on its thread.
    static HANDLES: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
}

pub(crate) fn conv2d_sum(geometry: &Conv2d, pairs: &[(&Tensor, &Tensor)], bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, w) = pairs[0];
    let (rows, columns) = geometry.output_size(x.dims(), w.dims())?;
    let channels = w.dim(0)?;
    let zeros = Tensor::zeros((x.dim(0)?, channels, rows, columns), x.dtype(), x.device())?;
    let start = match bias {
        Some(bias) => zeros.broadcast_add(&bias.reshape((1, channels, 1, 1))?)?,
        None => zeros,
    };
    Product { geometry, direction: Direction::Forward }.add(start, pairs)
}

pub(crate) fn conv2d_input_adjoint_sum(
    geometry: &Conv2d,
    input_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let start = Tensor::zeros(input_shape, pairs[0].0.dtype(), pairs[0].0.device())?;
    Product { geometry, direction: Direction::InputAdjoint }.add(start, pairs)
}

pub(crate) fn conv2d_weight_adjoint_sum(
    geometry: &Conv2d,
    weight_shape: &[usize],
    pairs: &[(&Tensor, &Tensor)],
) -> Result<Tensor> {
    let start = Tensor::zeros(weight_shape, pairs[0].0.dtype(), pairs[0].0.device())?;
    Product { geometry, direction: Direction::WeightAdjoint }.add(start, pairs)
}

/// Which of x, w and y is computed from the other two.
#[derive(Clone, Copy)]
enum Direction {
    /// y from x and w.
    Forward,
    /// x̄ from w and ȳ.
    InputAdjoint,
    /// w̄ from x and ȳ.
    WeightAdjoint,
}

/// One bilinear map of a convolution, as an operation that adds to its target.
struct Product<'a> {
    geometry: &'a Conv2d,
    direction: Direction,
}

impl Product<'_> {
    /// `target`, whose memory is nobody else's, plus the product of each pair.
    fn add(self, target: Tensor, pairs: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
        for (a, b) in pairs {
            target.inplace_op3(&a.contiguous()?, &b.contiguous()?, &self)?;
        }
        Ok(target)
    }

    fn run<T>(
        &self,
        (target, target_layout): (&mut CudaStorage, &Layout),
        (a, a_layout): (&CudaStorage, &Layout),
        (b, b_layout): (&CudaStorage, &Layout),
    ) -> candle_core::Result<()>
    where
        T: WithDType + CudaDType + CudnnDataType + DeviceRepr,
    {
        use sys::cudnnConvolutionBwdDataAlgo_t as Data;
        use sys::cudnnConvolutionBwdFilterAlgo_t as Filter;

        let device = target.device().clone();
        let cudnn = handle(&device)?;
        let Conv2d { stride, padding, dilation, groups } = *self.geometry;
        let pair = |(rows, columns): (usize, usize)| Ok::<_, candle_core::Error>([int(rows)?, int(columns)?]);
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<T>(pair(padding)?, pair(stride)?, pair(dilation)?, mode)?;
        conv.set_group_count(int(groups)?)?;
        conv.set_math_type(sys::cudnnMathType_t::CUDNN_FMA_MATH)?;

        let (x, w, y) = match self.direction {
            Direction::Forward => (a_layout, b_layout, target_layout),
            Direction::InputAdjoint => (target_layout, a_layout, b_layout),
            Direction::WeightAdjoint => (a_layout, target_layout, b_layout),
        };
        let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let x = &cudnn.create_4d_tensor::<T>(format, sizes(x)?)?;
        let w = &cudnn.create_4d_filter::<T>(format, sizes(w)?)?;
        let y = &cudnn.create_4d_tensor::<T>(format, sizes(y)?)?;

        let a = &a.as_cuda_slice::<T>()?.slice(a_layout.start_offset()..);
        let b = &b.as_cuda_slice::<T>()?.slice(b_layout.start_offset()..);
        let target = &mut target.as_cuda_slice_mut::<T>()?.slice_mut(target_layout.start_offset()..);
        let (conv, scaling) = (&conv, (T::from_f64(1.0), T::from_f64(1.0)));
        #[expect(unsafe_code, reason = "cuDNN writes its workspace before it reads it")]
        let workspace = |bytes: usize| unsafe { device.alloc::<u8>(bytes.max(1)) };
        match self.direction {
            Direction::Forward => {
                let product = ConvForward { conv, x, w, y };
                let algorithm = product.pick_algorithm()?;
                let mut workspace = workspace(product.get_workspace_size(algorithm)?)?;
                #[expect(unsafe_code, reason = "the descriptors were made from the operands' types and shapes")]
                unsafe {
                    product.launch(algorithm, Some(&mut workspace), scaling, a, b, target)?;
                }
            }
            Direction::InputAdjoint => {
                let product = ConvBackwardData { conv, dx: x, w, dy: y };
                let algorithm = match product.pick_algorithm()? {
                    Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 => Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1,
                    same_from_run_to_run => same_from_run_to_run,
                };
                let mut workspace = workspace(product.get_workspace_size(algorithm)?)?;
                #[expect(unsafe_code, reason = "the descriptors were made from the operands' types and shapes")]
                unsafe {
                    product.launch(algorithm, Some(&mut workspace), scaling, target, a, b)?;
                }
            }
            Direction::WeightAdjoint => {
                let product = ConvBackwardFilter { conv, x, dw: w, dy: y };
                let algorithm = match product.pick_algorithm()? {
                    Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 | Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 => {
                        Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1
                    }
                    same_from_run_to_run => same_from_run_to_run,
                };
                let mut workspace = workspace(product.get_workspace_size(algorithm)?)?;
                #[expect(unsafe_code, reason = "the descriptors were made from the operands' types and shapes")]
                unsafe {
                    product.launch(algorithm, Some(&mut workspace), scaling, a, target, b)?;
                }
            }
        }
        Ok(())
    }
}

impl InplaceOp3 for Product<'_> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<()> {
        candle_core::bail!("cuDNN computes on CUDA devices")
    }

    fn cuda_fwd(
        &self,
        target: &mut CudaStorage,
        target_layout: &Layout,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<()> {
        match target.dtype() {
            DType::F32 => self.run::<f32>((target, target_layout), (a, a_layout), (b, b_layout)),
            DType::F64 => self.run::<f64>((target, target_layout), (a, a_layout), (b, b_layout)),
            other => candle_core::bail!("dtype {other:?}; the engine computes in f32 or f64"),
        }
    }
}

/// This thread's handle for a device.
fn handle(device: &CudaDevice) -> candle_core::Result<Arc<Cudnn>> {
    HANDLES.with_borrow_mut(|handles| {
        if let Some(handle) = handles.get(&device.id()) {
            return Ok(handle.clone());
        }
        let handle = Cudnn::new(device.cuda_stream())?;
        handles.insert(device.id(), handle.clone());
        Ok(handle)
    })
}

fn int(size: usize) -> candle_core::Result<i32> {
    i32::try_from(size).map_err(candle_core::Error::wrap)
}

fn sizes(layout: &Layout) -> candle_core::Result<[i32; 4]> {
    let (a, b, c, d) = layout.shape().dims4()?;
    Ok([int(a)?, int(b)?, int(c)?, int(d)?])
}
