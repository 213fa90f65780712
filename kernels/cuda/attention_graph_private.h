/* Attention and its gradient as graphs for cuDNN. */
#pragma once
#include "kernels/cuda/attention_private.h"
#include "kernels/cuda/cudnn_private.h"

/* Names of tensors, their unique ids too; first those in memory. `_T` is the same memory seen with
 * rows and columns swapped, K_BACK the way back. */
enum {
  NONE,
  Q,
  K_T,
  V,
  V_T,
  Y,
  LSE,
  DY,
  DQ,
  DK,
  DV,
  DELTA,
  SCALE,
  LEAST,
  ONE,
  SCORE,
  SCALED,
  ROW,
  COLUMN,
  SEES,
  MASKED,
  GREATEST,
  SHIFTED,
  POWER,
  SUM,
  LOG_SUM,
  P,
  DY_Y,
  DY_Y_SUM,
  EXPONENT,
  EXPONENT_MASKED,
  P_AGAIN,
  P_T,
  DP,
  DP_LESS,
  DP_P,
  DS,
  DS_T,
  K_BACK,
  N_TENSORS
};

#define ATTENTION_NODES_MAX 21

/* Fills MADE[N_TENSORS] and NODES[ATTENTION_NODES_MAX], which the graph points to. */
PwCudnnGraph pw__cudnn_attention_graph (const PwCudaAttention *, gboolean is_gradient,
                                        PwCudnnTensor *made, PwCudnnNode *nodes);
