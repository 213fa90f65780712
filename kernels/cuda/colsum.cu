/* sums[columns] += sums over the rows: a bias's gradient. Rows are cut into parts whose number
 * depends on the shape alone; each part's sums go to the workspace, then a second kernel adds the
 * parts in order. Inside a part eight threads per pack of columns take every eighth row each, and
 * their sums are added in order, too: the same bits every time. With one part there is no second
 * kernel. What is summed is read, or made, by a source. */
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/gelu.cuh"

#define PACKS 32 /* of columns: a warp's */
#define LANES 8
#define PART_ROWS 128
#define PARTS_MAX 64

template <typename T> struct Stored {
  const T *x;
  __device__ void get (int64_t at, int64_t end, bool aligned, float v[PW_PACK]) const {
    load (x, at, end, aligned, v);
  }
};

/* gelu' (x) dy, stored, and summed as it was rounded. */
template <typename T> struct GeluGradient {
  const T *x, *dy;
  T *dx;
  __device__ void get (int64_t at, int64_t end, bool aligned, float v[PW_PACK]) const {
    float d[PW_PACK];
    load (x, at, end, aligned, v);
    load (dy, at, end, aligned, d);
    for (int i = 0; i < PW_PACK; i++) {
      T rounded;
      from_float (Gelu ().gradient (v[i], d[i]), &rounded);
      v[i] = to_float (rounded);
    }
    store (dx, at, end, aligned, v);
  }
};

template <typename Source>
static __global__ void
column_sums_kernel (Source source, int64_t rows, int64_t columns, int64_t part_rows, bool aligned,
                    float *out, int accumulate) {
  __shared__ float sums[LANES][PACKS * PW_PACK];
  int64_t column = ((int64_t)blockIdx.x * PACKS + threadIdx.x) * PW_PACK;
  int64_t first = (int64_t)blockIdx.y * part_rows;
  int64_t end = first + part_rows < rows ? first + part_rows : rows;
  float sum[PW_PACK] = { 0 };
  if (column < columns)
    for (int64_t row = first + threadIdx.y; row < end; row += LANES) {
      float v[PW_PACK];
      source.get (row * columns + column, (row + 1) * columns, aligned, v);
      for (int i = 0; i < PW_PACK; i++)
        sum[i] += v[i];
    }
  for (int i = 0; i < PW_PACK; i++)
    sums[threadIdx.y][threadIdx.x * PW_PACK + i] = sum[i];
  __syncthreads ();
  if (threadIdx.y != 0)
    return;
  for (int i = 0; i < PW_PACK && column + i < columns; i++) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++)
      total += sums[lane][threadIdx.x * PW_PACK + i];
    float *to = out + (int64_t)blockIdx.y * columns + column + i;
    *to = accumulate ? *to + total : total;
  }
}

static __global__ void
add_parts_kernel (const float *parts, int n_parts, int64_t columns, float *sums) {
  int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= columns)
    return;
  float total = 0;
  for (int part = 0; part < n_parts; part++)
    total += parts[part * columns + column];
  sums[column] += total;
}

static int64_t
ceil_div (int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

static int
count_parts (int64_t rows) {
  int64_t parts = ceil_div (rows, PART_ROWS);
  return (int)(parts < PARTS_MAX ? parts : PARTS_MAX);
}

extern "C" int64_t
pw__cuda_column_sums_workspace (int64_t rows, int64_t columns) {
  int parts = count_parts (rows);
  return parts > 1 ? parts * columns * (int64_t)sizeof (float) : 0;
}

template <typename Source>
static cudaError_t
column_sums (Source source, int64_t rows, int64_t columns, bool aligned, float *sums,
             float *workspace, cudaStream_t stream) {
  int parts = count_parts (rows);
  dim3 grid ((unsigned)ceil_div (columns, PACKS * PW_PACK), (unsigned)parts);
  dim3 block (PACKS, LANES);
  column_sums_kernel<Source><<<grid, block, 0, stream>>> (
      source, rows, columns, ceil_div (rows, parts), aligned && columns % PW_PACK == 0,
      parts > 1 ? workspace : sums, parts == 1);
  if (parts > 1)
    add_parts_kernel<<<(unsigned)ceil_div (columns, 128), 128, 0, stream>>> (workspace, parts,
                                                                              columns, sums);
  return cudaGetLastError ();
}

extern "C" cudaError_t
pw__launch_column_sums (PwCudaType type, const void *x, int64_t rows, int64_t columns, float *sums,
                        void *workspace, cudaStream_t stream) {
  if (rows == 0 || columns == 0)
    return cudaSuccess;
  return with_type (type, [=] (auto zero) {
    using T = decltype (zero);
    Stored<T> source = { (const T *)x };
    return column_sums (source, rows, columns, is_aligned (source.x), sums, (float *)workspace,
                        stream);
  });
}

extern "C" cudaError_t
pw__launch_gelu_bias_gradient (PwCudaType type, const void *x, const void *dy, void *dx,
                               int64_t rows, int64_t columns, float *sums, void *workspace,
                               cudaStream_t stream) {
  if (rows == 0 || columns == 0)
    return cudaSuccess;
  return with_type (type, [=] (auto zero) {
    using T = decltype (zero);
    GeluGradient<T> source = { (const T *)x, (const T *)dy, (T *)dx };
    return column_sums (source, rows, columns, is_aligned (source.x, source.dy, source.dx), sums,
                        (float *)workspace, stream);
  });
}
