"""The documented vocabulary: functions that people call, with their slots, by category.

A function has one name however it was called: `torch.add`, `x + y`, `y.__radd__(x)`, `x.add_(y)` are "add",
with the operands in their slots. `view` and `reshape` stay two. What is not here is kept as "opaque:NAME".
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

OPAQUE = "opaque:"

# One line for each function: its name and slots. A slot with a star takes all that follows it
# (x.view(2, 3)), as the size or list it stands for.
_TABLE = {
    "linear algebra": """
        linear(input, weight, bias); bilinear(input1, input2, weight, bias); matmul(input, other)
        mm(input, mat2); bmm(input, mat2); mv(input, vec); dot(input, tensor); outer(input, vec2)
        addmm(input, mat1, mat2, beta, alpha); baddbmm(input, batch1, batch2, beta, alpha)
        addbmm(input, batch1, batch2, beta, alpha); addmv(input, mat, vec, beta, alpha)
        einsum(equation, *operands); tensordot(a, b, dims); inner(input, other); kron(input, other)
        cdist(x1, x2, p, compute_mode); cross(input, other, dim); chain_matmul(*matrices)
        grouped_mm(input, mat2, offs, bias, out_dtype); linalg_inv(A); linalg_solve(A, B, left)
        linalg_solve_triangular(input, B, upper, left, unitriangular); linalg_cholesky(input, upper)
        linalg_norm(input, ord, dim, keepdim, dtype); linalg_qr(A, mode)
        linalg_svd(A, full_matrices, driver); linalg_vector_norm(input, ord, dim, keepdim, dtype)
        linalg_eigh(A, UPLO); linalg_det(A); inverse(input); det(input); matrix_exp(input); trace(input)
        linalg_cross(input, other, dim)
    """,
    "attention": """
        scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
        multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, in_proj_weight,
            in_proj_bias, bias_k, bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training,
            key_padding_mask, need_weights, attn_mask, use_separate_proj_weight, q_proj_weight, k_proj_weight,
            v_proj_weight, static_k, static_v, average_attn_weights, is_causal)
    """,
    "normalisation": """
        layer_norm(input, normalized_shape, weight, bias, eps)
        rms_norm(input, normalized_shape, weight, eps)
        batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        group_norm(input, num_groups, weight, bias, eps)
        instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
        normalize(input, p, dim, eps); local_response_norm(input, size, alpha, beta, k)
        weight_norm(v, g, dim)
    """,
    "activation": """
        relu(input); relu6(input); leaky_relu(input, negative_slope); prelu(input, weight); rrelu(input)
        elu(input, alpha); selu(input); celu(input, alpha); gelu(input, approximate); silu(input)
        mish(input); glu(input, dim); sigmoid(input); tanh(input); hardtanh(input, min_val, max_val)
        hardswish(input); hardsigmoid(input); softplus(input, beta, threshold); softsign(input)
        tanhshrink(input); hardshrink(input, lambd); softshrink(input, lambd)
        threshold(input, threshold, value); logsigmoid(input); softmax(input, dim, dtype)
        log_softmax(input, dim, dtype); softmin(input, dim)
    """,
    "elementwise": """
        add(input, other, alpha); sub(input, other, alpha); mul(input, other)
        div(input, other, rounding_mode); floor_divide(input, other); true_divide(input, other)
        remainder(input, other); fmod(input, other); pow(input, exponent); sqrt(input); rsqrt(input)
        square(input); exp(input); exp2(input); expm1(input); log(input); log2(input); log10(input)
        log1p(input); logaddexp(input, other); abs(input); neg(input); sign(input); sgn(input)
        ceil(input); floor(input); round(input, decimals); trunc(input); frac(input); sin(input)
        cos(input); tan(input); asin(input); acos(input); atan(input); sinh(input); cosh(input)
        asinh(input); acosh(input); atanh(input); atan2(input, other); sinc(input); erf(input)
        erfc(input); erfinv(input); lgamma(input); digamma(input); i0(input); reciprocal(input)
        logit(input, eps); special_i1e(input); special_i0e(input); special_i1(input)
        heaviside(input, values); maximum(input, other); minimum(input, other); fmax(input, other)
        fmin(input, other); clamp(input, min, max); where(condition, input, other)
        lerp(input, end, weight); hypot(input, other); addcmul(input, tensor1, tensor2, value)
        addcdiv(input, tensor1, tensor2, value); eq(input, other); ne(input, other); lt(input, other)
        le(input, other); gt(input, other); ge(input, other)
        isclose(input, other, rtol, atol, equal_nan); isnan(input); isinf(input); isfinite(input)
        logical_and(input, other); logical_or(input, other); logical_xor(input, other)
        logical_not(input); bitwise_and(input, other); bitwise_or(input, other)
        bitwise_xor(input, other); bitwise_not(input); bitwise_left_shift(input, other)
        bitwise_right_shift(input, other); masked_fill(input, mask, value)
        nan_to_num(input, nan, posinf, neginf); to(input, dtype); real(input); imag(input); conj(input)
        angle(input); polar(abs, angle); complex(real, imag); view_as_complex(input)
        view_as_real(input); resolve_conj(input); copy(input, src); fill(input, value); zero(input)
        xlogy(input, other); gcd(input, other); float_power(input, exponent)
        mse_loss(input, target, size_average, reduce, reduction); deg2rad(input); positive(input)
        cosine_similarity(x1, x2, dim, eps); pairwise_distance(x1, x2, p, eps, keepdim)
    """,
    "shape": """
        view(input, *size); reshape(input, *shape); view_as(input, other); reshape_as(input, other)
        transpose(input, dim0, dim1); permute(input, *dims); t(input); mT(input); T(input); H(input)
        mH(input); flatten(input, start_dim, end_dim); unflatten(input, dim, sizes); squeeze(input, dim)
        unsqueeze(input, dim); expand(input, *size); expand_as(input, other); broadcast_to(input, size)
        broadcast_tensors(*tensors); repeat(input, *repeats); tile(input, *dims)
        repeat_interleave(input, repeats, dim, output_size); contiguous(input); clone(input)
        detach(input); data(input); cat(tensors, dim); stack(tensors, dim); hstack(tensors)
        vstack(tensors); dstack(tensors); chunk(input, chunks, dim)
        split(input, split_size_or_sections, dim); tensor_split(input, indices_or_sections, dim)
        unbind(input, dim); movedim(input, source, destination); swapaxes(input, axis0, axis1)
        roll(input, shifts, dims); flip(input, *dims); rot90(input, k, dims)
        pad(input, pad, mode, value); unfold(input, dimension, size, step)
        as_strided(input, size, stride,
            storage_offset); meshgrid(*tensors, indexing)
        atleast_1d(*tensors); atleast_2d(*tensors)
        im2col(input, kernel_size, dilation, padding, stride)
        fold(input, output_size, kernel_size, dilation, padding, stride)
        pixel_shuffle(input, upscale_factor); pixel_unshuffle(input, downscale_factor)
        channel_shuffle(input, groups); ravel(input); diagonal(input, offset, dim1, dim2)
        diag(input, diagonal); diag_embed(input, offset, dim1, dim2); tril(input, diagonal)
        triu(input, diagonal); block_diag(*tensors); cartesian_prod(*tensors)
        combinations(input, r, with_replacement); numpy_T(input)
        pad_sequence(sequences, batch_first,
            padding_value, padding_side)
        resize_as(input, other)
    """,
    "reduction": """
        sum(input, dim, keepdim, dtype); mean(input, dim, keepdim, dtype)
        prod(input, dim, keepdim, dtype); amax(input, dim, keepdim); amin(input, dim, keepdim)
        max(input, dim, keepdim); min(input, dim, keepdim); argmax(input, dim, keepdim)
        argmin(input, dim, keepdim); aminmax(input, dim, keepdim)
        var(input, dim, unbiased, keepdim, correction); std(input, dim, unbiased, keepdim, correction)
        var_mean(input, dim, unbiased, keepdim, correction)
        std_mean(input, dim, unbiased, keepdim, correction); norm(input, p, dim, keepdim, out, dtype)
        logsumexp(input, dim, keepdim); any(input, dim, keepdim); all(input, dim, keepdim)
        median(input, dim, keepdim); quantile(input, q, dim, keepdim); cumsum(input, dim, dtype)
        cumprod(input, dim, dtype); cummax(input, dim); cummin(input, dim); logcumsumexp(input, dim)
        diff(input, n, dim, prepend, append); equal(input, other); count_nonzero(input, dim)
        nansum(input, dim, keepdim, dtype); nanmean(input, dim, keepdim, dtype)
        cross_entropy(input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing)
        nll_loss(input, target, weight, size_average, ignore_index, reduce, reduction)
    """,
    "indexing": """
        getitem(input, index); setitem(input, index, value); select(input, dim, index)
        narrow(input, dim, start, length); slice(input, dim, start, end, step)
        embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        embedding_bag(input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            per_sample_weights, include_last_offset, padding_idx)
        one_hot(tensor, num_classes); gather(input, dim, index)
        index_select(input, dim, index); take(input, index); take_along_dim(input, indices, dim)
        masked_select(input, mask); nonzero(input, as_tuple)
        index_put(input, indices, values, accumulate); index_add(input, dim, index, source, alpha)
        index_copy(input, dim, index, source); index_fill(input, dim, index, value)
        scatter(input, dim, index, src, reduce); scatter_add(input, dim, index, src)
        scatter_reduce(input, dim, index, src, reduce, include_self)
        masked_scatter(input, mask, source); slice_scatter(input, src, dim, start, end, step)
        select_scatter(input, src, dim, index); diagonal_scatter(input, src, offset, dim1, dim2)
        as_strided_scatter(input, src, size, stride,
            storage_offset)
        sort(input, dim, descending, stable); argsort(input, dim, descending, stable)
        topk(input, k, dim, largest, sorted); kthvalue(input, k, dim, keepdim); msort(input)
        searchsorted(sorted_sequence, input, out_int32, right, side, sorter)
        bucketize(input, boundaries, out_int32, right)
        unique(input, sorted, return_inverse, return_counts, dim)
        unique_consecutive(input, return_inverse, return_counts, dim)
        bincount(input, weights, minlength); histc(input, bins, min, max)
        isin(elements, test_elements, assume_unique, invert); tril_indices(row, col, offset)
        triu_indices(row, col, offset); item(input); tolist(input); iter(input)
    """,
    "convolution": """
        conv1d(input, weight, bias, stride, padding, dilation, groups)
        conv2d(input, weight, bias, stride, padding, dilation, groups)
        conv3d(input, weight, bias, stride, padding, dilation, groups)
        conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)
        conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
        conv_transpose3d(input, weight, bias, stride, padding, output_padding, groups, dilation)
        fft_fft(input, n, dim, norm); fft_ifft(input, n, dim, norm); fft_rfft(input, n, dim, norm)
        fft_irfft(input, n, dim, norm); fft_fft2(input, s, dim, norm); fft_ifft2(input, s, dim, norm)
        fft_fftn(input, s, dim, norm); fft_ifftn(input, s, dim, norm); fft_rfft2(input, s, dim, norm)
        fft_irfft2(input, s, dim, norm); fft_rfftn(input, s, dim, norm); fft_irfftn(input, s, dim, norm)
        fft_fftshift(input, dim); fft_ifftshift(input, dim); fft_rfftfreq(n, d); fft_fftfreq(n, d)
        stft(input, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided,
            return_complex)
        istft(input, n_fft, hop_length, win_length, window, center, normalized, onesided,
            length, return_complex)
    """,
    "pooling": """
        max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)
        avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        avg_pool3d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        adaptive_avg_pool1d(input, output_size); adaptive_avg_pool2d(input, output_size)
        adaptive_avg_pool3d(input, output_size); adaptive_max_pool1d(input, output_size, return_indices)
        adaptive_max_pool2d(input, output_size, return_indices)
        lp_pool1d(input, norm_type, kernel_size)
        adaptive_max_pool3d(input, output_size, return_indices)
        lp_pool2d(input, norm_type, kernel_size)
        interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
        upsample(input, size, scale_factor, mode, align_corners)
        grid_sample(input, grid, mode, padding_mode, align_corners)
        affine_grid(theta, size, align_corners)
    """,
    "creation": """
        constant(value); tensor(data, dtype); as_tensor(data, dtype); scalar_tensor(s, dtype)
        arange(*range, dtype); linspace(start, end, steps, dtype)
        logspace(start, end, steps, base, dtype); zeros(*size, dtype); ones(*size, dtype)
        full(size, fill_value, dtype); empty(*size, dtype); eye(n, m, dtype); zeros_like(input, dtype)
        ones_like(input, dtype); empty_like(input, dtype); full_like(input, fill_value, dtype)
        new_zeros(input, *size, dtype); new_ones(input, *size, dtype); new_empty(input, *size, dtype)
        new_full(input, size, fill_value, dtype); new_tensor(input, data, dtype)
        empty_strided(size, stride, dtype); hann_window(window_length, periodic, dtype)
        hamming_window(window_length, periodic, alpha, beta, dtype); vander(x, N, increasing)
        kaiser_window(window_length, periodic, beta, dtype); from_numpy(data)
        range(start, end, step, dtype)
    """,
    "random": """
        dropout(input, p, training); dropout1d(input, p, training); dropout2d(input, p, training)
        dropout3d(input, p, training); alpha_dropout(input, p, training)
        feature_dropout(input, p, training); feature_alpha_dropout(input, p, training)
        rand(*size, dtype); randn(*size, dtype); randint(low, high, size, dtype); randperm(n, dtype)
        rand_like(input, dtype); randn_like(input, dtype); randint_like(input, low, high, dtype)
        bernoulli(input, p); multinomial(input, num_samples, replacement); normal(input, mean, std)
        uniform(input, from, to); gumbel_softmax(logits, tau, hard, eps, dim); exponential(input, lambd)
        poisson(input); random(input, from, to); cauchy(input, median, sigma)
    """,
    "recurrent": """
        lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
        gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
        rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
        rnn_relu(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
        lstm_cell(input, hx, w_ih, w_hh, b_ih, b_hh); gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)
        rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih, b_hh)
        rnn_relu_cell(input, hx, w_ih, w_hh, b_ih, b_hh)
    """,
}

CATEGORIES = (*_TABLE, "other")


@dataclass(frozen=True, slots=True)
class Operation:
    """A function of the vocabulary: its slots in order; `variadic` takes all that follows."""

    name: str
    category: str
    slots: tuple[str, ...]
    variadic: str = ""


def _read(table: dict[str, str]) -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for category, text in table.items():
        for entry in " ".join(text.replace(")", ");").split()).split(";"):
            name, bracket, rest = entry.strip().partition("(")
            if not bracket:
                continue
            slots = [slot.strip() for slot in rest.rstrip(")").split(",")]
            variadic = next((slot[1:] for slot in slots if slot.startswith("*")), "")
            if name in found:
                raise ValueError(f"{name} stands twice in the vocabulary")
            found[name] = Operation(name, category, tuple(slot.lstrip("*") for slot in slots), variadic)
    return found


OPERATIONS = MappingProxyType(_read(_TABLE))
"""Every function by its name."""

_SAME = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "negative": "neg", "absolute": "abs",
    "clip": "clamp", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "invert": "bitwise_not", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift", "concat": "cat",
    "concatenate": "cat", "swapdims": "transpose", "swapaxes": "transpose", "moveaxis": "movedim",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
    "adjoint": "mH", "expit": "sigmoid", "special_expit": "sigmoid", "special_softmax": "softmax",
    "special_log_softmax": "log_softmax", "special_logsumexp": "logsumexp", "special_erf": "erf",
    "max_pool1d_with_indices": "max_pool1d", "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d", "split_with_sizes": "split", "unsafe_split": "split",
    "unsafe_chunk": "chunk", "fft_fft_": "fft_fft", "type": "to", "type_as": "to",
    "expand_copy": "expand", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh", "native_layer_norm": "layer_norm", "native_group_norm": "group_norm",
    "native_batch_norm": "batch_norm", "_unsafe_view": "view",
    "_softmax": "softmax", "_log_softmax": "log_softmax", "_to_copy": "to", "alias": "detach",
    "fix": "trunc", "row_stack": "vstack", "column_stack": "hstack", "inner_product": "inner",
    "vecdot": "linalg_vecdot", "ger": "outer", "batch_norm_": "batch_norm", "linalg_matmul": "matmul",
    "_max_pool1d": "max_pool1d", "_max_pool2d": "max_pool2d", "_max_pool3d": "max_pool3d",
    "_adaptive_max_pool1d": "adaptive_max_pool1d", "_pad": "pad",
    "_adaptive_max_pool2d": "adaptive_max_pool2d", "_grouped_mm": "grouped_mm", "unique2": "unique",
    "_unique2": "unique", "_unique_impl": "unique", "_return_output": "unique", "is_nonzero": "item",
    "bool_": "item", "_local_scalar_dense": "item", "upsample_nearest2d": "interpolate",
    "_weight_norm": "weight_norm", "__iter__": "iter", "index": "getitem", "relu_": "relu",
    "_nested_view": "view", "_is_all_true": "all", "log_sigmoid": "logsigmoid", "clamp_min": "clamp",
    "cpu": "to",
}  # fmt: skip

CASTS = MappingProxyType(
    {
        "float": "float32",
        "double": "float64",
        "half": "float16",
        "bfloat16": "bfloat16",
        "long": "int64",
        "int": "int32",
        "short": "int16",
        "char": "int8",
        "byte": "uint8",
        "bool": "bool",
        "cfloat": "complex64",
        "cdouble": "complex128",
    }
)
"""Methods that convert, each the function "to" with this dtype."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a name that was called stands for: the function, and whether its operands are exchanged."""

    name: str
    reversed: bool = False


def spelled(called: str) -> Spelling:
    """The function for a name as called: "__radd__" and "add_" are "add", "concat" is "cat".

    A name unknown to the vocabulary comes back bare of its dunders and of the underscore of writing in place.
    """
    exchanged = False
    name = called
    if name.startswith("__") and name.endswith("__"):
        bare = name[2:-2]
        if bare[:1] in "ri" and bare[1:] in _ARITHMETIC:
            exchanged, bare = bare[0] == "r", bare[1:]
        name = bare
    name = _SAME.get(called, _SAME.get(name, name))
    if name not in OPERATIONS and name.endswith("_") and not name.endswith("__"):
        name = _SAME.get(name[:-1], name[:-1])
    return Spelling(name, exchanged)


_ARITHMETIC = frozenset(
    "add sub mul truediv div floordiv mod pow matmul and or xor lshift rshift".split()  # noqa: SIM905
)


def known(op: str) -> bool:
    """Whether the vocabulary has this function."""
    return op in OPERATIONS


def category(op: str) -> str:
    """The category of a function, "other" for what the vocabulary does not know."""
    found = OPERATIONS.get(op)
    return found.category if found else "other"


_PAGE = """# Operations

The vocabulary of graphs. This page is made from `madstar/graph/vocabulary.py`.

A node is one function that people call; its body are the ATen primitives that ran beneath it, by their
own names (`aten.mm.default`). Tensors are arguments and have a slot; a slot that takes a list has
`tensors.0`, `tensors.1`. What is not a tensor is an attribute of the same name. A function has one name
however it was called: `torch.add`, `x + y`, `x.add_(y)` are `add`; a write in place has the attribute
`in_place` and gives the tensor's next value; what a region of mixed precision computes in another dtype has
the attribute `autocast` with that dtype. What is not in this table is `opaque:NAME`.

Attributes are JSON. A dtype is its name (`float32`). Numbers that JSON lacks are `inf`, `-inf`, `nan`.
An `index` is a list with an entry for each position: a number, `null` (a new axis), `...`,
`["slice", start, stop, step]`, or `["tensor", k]` for the argument `index.k`. Sizes that come from the
sizes of the input are expressions of the symbols, such as `batch*length`.
"""


def table() -> str:
    """The vocabulary as a page of Markdown, docs/operations.md."""
    lines = _PAGE.splitlines()
    for name in _TABLE:
        lines += ["", f"## {name[0].upper()}{name[1:]}", "", "| function | slots |", "|---|---|"]
        for operation in OPERATIONS.values():
            if operation.category == name:
                slots = ", ".join(f"*{s}" if s == operation.variadic else s for s in operation.slots)
                lines.append(f"| `{operation.name}` | {slots} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(table())
