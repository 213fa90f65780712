/* D = epilogue (alpha op(A) op(B) + beta C) for column-major matrices, on the host: fp32 sums in
 * ascending order of the inner index, so a product's bits depend on its inputs and shape only. */
#pragma once
#include <cublasLt.h>

#include <cstddef>
#include <cstdint>

struct MatrixView {
  cudaDataType_t type;
  long rows, columns, leading; /* as stored */
  long stride;                 /* between the matrices of a batch */
  bool transposed;
  void *data;
};

struct Product {
  MatrixView a, b, c, d;
  float alpha, beta;
  long inner; /* columns of op(A) */
  int batch;
  unsigned epilogue; /* cublasLtEpilogue_t */
  void *bias;        /* read, or written by a gradient epilogue */
  cudaDataType_t bias_type;
  void *auxiliary; /* what GELU_AUX writes and DGELU reads, of D's type */
  long auxiliary_leading;
  void *workspace;
  size_t workspace_bytes;
};

size_t element_bytes (cudaDataType_t type); /* 0: not a type that is covered */
bool product_epilogue_is_covered (unsigned epilogue);
void product_run (const Product *product);
