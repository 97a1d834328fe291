"""Families of operators in a forward pass, and which of them have zero cost by convention.

Convolutions and matrix products are counted. All other operators in the tables below have zero cost by convention, as
in papers. An operator in neither table is *unknown* and is reported, because a silent zero would be wrong.
"""

CONVOLUTION, PRODUCT = "convolution", "matrix product"
UNKNOWN = "unknown"
OUTER_PRODUCT = "aten.mul.outer_product"  # our name for a multiplication of two tensors that broadcasts both

# Operator names of torch's dispatcher and of fvcore's traces, without the namespace and the "_" of in-place variants.
_COUNTED = {
    CONVOLUTION: "convolution _convolution conv _convolution_mode conv1d conv2d conv3d conv_transpose2d "
    "cudnn_convolution mkldnn_convolution _slow_conv2d_forward convolution_overrideable "
    "conv1d_relu conv2d_relu conv3d_relu conv1d_dynamic conv2d_dynamic conv3d_dynamic",
    PRODUCT: "mm addmm bmm baddbmm matmul linear einsum _scaled_mm scaled_dot_product_attention "
    "_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
    "_flash_attention_forward _efficient_attention_forward mv addmv dot vdot addbmm _trilinear linear_relu "
    "linear_dynamic linear_relu_dynamic",
}
# Families with zero cost by convention.
_FREE = {
    "activation": "relu relu6 leaky_relu prelu _prelu_kernel elu celu selu gelu silu mish hardswish hardsigmoid "
    "hardtanh sigmoid tanh softplus log_sigmoid log_sigmoid_forward softmax _softmax _safe_softmax log_softmax "
    "_log_softmax threshold softmin glu rrelu rrelu_with_noise hardshrink softshrink tanhshrink",
    "normalisation": "batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
    "cudnn_batch_norm layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm "
    "_fused_rms_norm _weight_norm_interface _weight_norm linalg_vector_norm norm var var_mean std std_mean rsqrt",
    "pooling": "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d "
    "avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d roi_align roi_pool adaptive_max_pool1d adaptive_max_pool2d mean amax amin max min sum "
    "logsumexp",
    "resampling": "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa upsample_linear1d upsample_trilinear3d grid_sampler "
    "grid_sampler_2d",
    "element by element": "add sub rsub mul div neg abs square sqrt pow exp expm1 exp2 log log2 log10 log1p sin cos "
    "tan erf floor ceil round sign reciprocal maximum minimum clamp clamp_min clamp_max lerp addcmul addcdiv where "
    "masked_fill fill zero zeros_like ones_like eq ne lt le gt ge logical_and logical_or logical_not all any "
    "bitwise_and bitwise_or bitwise_not isinf isnan cumsum remainder fmod floor_divide",
    "view or copy": "view view_as _unsafe_view reshape _reshape_alias t transpose permute expand expand_as slice "
    "select split split_with_sizes unsafe_split chunk unbind unsqueeze squeeze flatten unflatten alias detach clone "
    "copy _to_copy to contiguous cat stack index _unsafe_index index_select gather roll flip repeat repeat_interleave "
    "unfold im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle constant_pad_nd pad reflection_pad1d "
    "reflection_pad2d replication_pad1d replication_pad2d as_strided narrow tril triu diagonal lift_fresh type_as "
    "movedim embedding index_put _index_put_impl view_as_real view_as_complex real imag",
    "mark of a profiler": "_record_function_enter _record_function_enter_new _record_function_exit",
    "reading back": "_local_scalar_dense item _assert_async",
    "sorting or selection": "sort argsort topk nonzero masked_select unique _unique2 unique_dim nms searchsorted "
    "bucketize argmax argmin",
    "quantisation": "quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr "
    "q_scale q_zero_point fake_quantize_per_tensor_affine_cachemask",
    "made from nothing": "empty empty_like empty_strided zeros ones full full_like arange linspace scalar_tensor "
    "new_zeros new_ones new_full new_empty eye rand randn bernoulli",
    "outer product": "outer_product",
    "dropout": "dropout native_dropout feature_dropout alpha_dropout",
}
FAMILY = {name: family for family, names in (_COUNTED | _FREE).items() for name in names.split()}


def family_of(operator: str) -> str:
    """Return the family of ``operator``, such as "aten.relu_" or "aten::conv2d", or :data:`UNKNOWN`.

    >>> family_of("aten::add_"), family_of("aten.bmm"), family_of("aten::fft_fft2")
    ('element by element', 'matrix product', 'unknown')
    """
    name = operator.replace("::", ".").rpartition(".")[2]
    return FAMILY.get(name) or FAMILY.get(name.removesuffix("_"), UNKNOWN)


def is_free(operator: str) -> bool:
    """Return whether ``operator`` has zero cost by convention."""
    return family_of(operator) not in (CONVOLUTION, PRODUCT, UNKNOWN)
