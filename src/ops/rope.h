// Rotary positions in Hugging Face's layout (Su et al., RoFormer, 2021): the pair of channel i is i + D/2.
#pragma once

#include "tensor/ctx.h"

namespace trireme {

/// Rotates x (N, H, D) in place by the angles of its positions (N) i32. table (P, D) f32: row p holds
/// cos(p f_i) for i < D/2, then sin(p f_i). `inverse` rotates back, which is the backward. D even; any strides
/// but the last. A position outside [0, P) is a Bug. sums (H D) f32, where defined, is added the sum over the rows of
/// what x becomes, whose heads then lie side by side: the gradient of a bias. On a GPU it costs no pass, and 16-bit
/// elements are summed before they are rounded.
void rope(Ctx& ctx, Tensor x, const Tensor& positions, const Tensor& table, bool inverse = false,
          const Tensor& sums = {});

}  // namespace trireme
