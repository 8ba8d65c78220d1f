"""The image tokens of a prompt, stored as factors and never written out.

A prompt's image tokens after a layer of the decoder are LayerNorm(x + A U): x is the image's own, A holds the
softmax weights of P positions over R = h T (head, token) pairs, U their values. With x and U centred over
channels the mean is zero, so the tokens are (s x + A U) g + b, where s = 1 / std of a position and A is
already scaled by s. A projection W of them is s (x g W) + A (U g W) + b W: an attention score of seven
queries costs R products per position instead of C. A second layer has the same form, with x g in place of x
and the rows of both layers in A and U.

Legend: B prompts, h heads, d channels of a head, T tokens of a prompt, R = h T, P positions, C channels.
"""

from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide, Projection, centred


@dataclass(frozen=True)
class ImageTokens:
    """The image tokens of B prompts, (s x + A U) g + b; x, g and b are the image side's."""

    scale_BP: torch.Tensor  # s
    factors_BRP: torch.Tensor  # A
    values_BRC: torch.Tensor  # U, centred


@dataclass(frozen=True)
class TokenValues:
    """What a prompt's tokens add to the image tokens that attend to them."""

    key_BhTd: torch.Tensor  # scaled by 1 / sqrt(d)
    value_BhTd: torch.Tensor
    out_BRC: torch.Tensor  # the values through the output projection

    def __getitem__(self, prompts: slice) -> "TokenValues":
        return TokenValues(self.key_BhTd[prompts], self.value_BhTd[prompts], self.out_BRC[prompts])


def attended(query_BhTd: torch.Tensor, key_hdP: torch.Tensor, value_hdP: torch.Tensor) -> torch.Tensor:
    """Attention of each token to an image that is the same for all prompts; [B, h, T, d]."""
    weights_BRP = _shared_product(query_BhTd, key_hdP).softmax(-1)
    return _shared_sum(weights_BRP, value_hdP)


def tokens_after_first(side: ImageSide, added: TokenValues, eps: float) -> ImageTokens:
    """The image tokens after layer 0, where each position has attended to the prompt's tokens."""
    factors_BRP = _softmax_over_tokens(_shared_product(added.key_BhTd, side.query0_hdP), side.heads)
    values_BRC = centred(added.out_BRC)
    x_values_BRP = _shared_product(added.value_BhTd, side.x_out0_hdP)
    return _normed(side.square0_P, x_values_BRP, factors_BRP, values_BRC, None, eps)


def tokens_after_second(
    side: ImageSide, tokens: ImageTokens, first: TokenValues, added: TokenValues, eps: float
) -> ImageTokens:
    """The image tokens after layer 1, from `tokens` after layer 0; `first` is what layer 0 added."""
    B, _, P = tokens.factors_BRP.shape
    scores_BRP = projected_scores(tokens, added.key_BhTd, side.query1)
    # the constant added at every position is a separate row, with the factor 1
    constant_factor = scores_BRP.new_ones(B, 1, P)
    factors = [tokens.factors_BRP, _softmax_over_tokens(scores_BRP, side.heads), constant_factor]
    values = [
        centred(tokens.values_BRC * side.gain0_C),
        centred(added.out_BRC),
        side.shift1_C.expand(B, 1, -1),
    ]
    x_values = [
        _shared_product(first.value_BhTd, side.x_gain_out0_hdP),
        _shared_product(added.value_BhTd, side.x_out1_hdP),
        side.x_shift1_P.expand(B, 1, -1),
    ]
    return _normed(
        side.square1_P,
        torch.cat(x_values, 1),
        torch.cat(factors, 1),
        torch.cat(values, 1),
        tokens.scale_BP,
        eps,
    )


def projected_scores(tokens: ImageTokens, query_BhTd: torch.Tensor, projection: Projection) -> torch.Tensor:
    """Products of the queries with projected image tokens, [B, R, P]."""
    weight_BRhd = _split(tokens.values_BRC @ projection.weight_CD, 2, query_BhTd.shape[1])
    query_values_BRR = (query_BhTd @ weight_BRhd.permute(0, 2, 3, 1)).flatten(1, 2)
    scores_BRP = _shared_product(query_BhTd, projection.x_hdP).mul_(tokens.scale_BP[:, None])
    scores_BRP.baddbmm_(query_values_BRR, tokens.factors_BRP)
    return scores_BRP.add_(_shared_product(query_BhTd, projection.constant_hdP))


def projected_sum(tokens: ImageTokens, weights_BRP: torch.Tensor, projection: Projection) -> torch.Tensor:
    """Sums of projected image tokens, by weights over positions that sum to 1; [B, h, T, d]."""
    heads = len(projection.x_hdP)
    value_BRhd = _split(tokens.values_BRC @ projection.weight_CD, 2, heads)
    factor_sums_BRR = weights_BRP @ tokens.factors_BRP.mT
    from_values_BhTd = _split(factor_sums_BRR, 1, heads) @ value_BRhd.transpose(1, 2)
    from_x_BhTd = _shared_sum(weights_BRP * tokens.scale_BP[:, None], projection.x_hdP)
    return from_x_BhTd + from_values_BhTd + projection.constant_hdP.mT


def _normed(
    square_P: torch.Tensor,
    x_values_BRP: torch.Tensor,
    factors_BRP: torch.Tensor,
    values_BRC: torch.Tensor,
    x_scale_BP: torch.Tensor | None,
    eps: float,
) -> ImageTokens:
    """LayerNorm of r x + A U, r a scale: its variance is (r² |x|² + sum of A (2 r x·U + U Uᵀ A)) / C."""
    x_values_BRP = x_values_BRP.mul_(2 if x_scale_BP is None else 2 * x_scale_BP[:, None])
    squares_BP = x_values_BRP.baddbmm_(values_BRC @ values_BRC.mT, factors_BRP).mul_(factors_BRP).sum(1)
    squares_BP += square_P if x_scale_BP is None else square_P * x_scale_BP.square()
    scale_BP = (squares_BP / values_BRC.shape[2] + eps).rsqrt()
    factors_BRP = factors_BRP.mul_(scale_BP[:, None])
    return ImageTokens(scale_BP if x_scale_BP is None else scale_BP * x_scale_BP, factors_BRP, values_BRC)


def _softmax_over_tokens(scores_BRP: torch.Tensor, heads: int) -> torch.Tensor:
    return _split(scores_BRP, 1, heads).softmax(2).flatten(1, 2)


def _shared_product(query_BhTd: torch.Tensor, x_hdP: torch.Tensor) -> torch.Tensor:
    """Queries of B prompts with keys that all prompts share, one product a head; [B, R, P]."""
    product_hBTP = _split(query_BhTd.transpose(0, 1).flatten(1, 2) @ x_hdP, 1, len(query_BhTd))
    return product_hBTP.transpose(0, 1).flatten(1, 2)


def _shared_sum(weights_BRP: torch.Tensor, value_hdP: torch.Tensor) -> torch.Tensor:
    """Values that all prompts share, weighted over positions; [B, h, T, d]."""
    B, heads = len(weights_BRP), len(value_hdP)
    weights_hBTP = _split(weights_BRP, 1, heads).transpose(0, 1)
    return _split(weights_hBTP.flatten(1, 2) @ value_hdP.mT, 1, B).transpose(0, 1)


def _split(values: torch.Tensor, axis: int, parts: int) -> torch.Tensor:
    """The axis as two, the first of length `parts`."""
    shape = values.shape
    return values.reshape(*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :])
