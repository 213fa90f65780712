/* sums[columns] += sums over the rows: a bias's gradient. Rows are cut into parts whose number
 * depends on the shape alone; each part's sums go to the workspace, then a second kernel adds the
 * parts in order. Inside a part eight threads per column take every eighth row each, and their sums
 * are added in order, too: the same bits every time. With one part there is no second kernel. */
#include "kernels/cuda/elements.cuh"

#define COLUMNS 32
#define LANES 8
#define PART_ROWS 128
#define PARTS_MAX 64

template <typename T>
static __global__ void
column_sums_kernel (const T *x, int64_t rows, int64_t columns, int64_t part_rows, float *out,
                    int accumulate) {
  __shared__ float sums[LANES][COLUMNS];
  int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
  int64_t first = (int64_t)blockIdx.y * part_rows;
  int64_t end = first + part_rows < rows ? first + part_rows : rows;
  float sum = 0;
  if (column < columns)
    for (int64_t row = first + threadIdx.y; row < end; row += LANES)
      sum += to_float (x[row * columns + column]);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads ();
  if (threadIdx.y != 0 || column >= columns)
    return;
  float total = 0;
  for (int lane = 0; lane < LANES; lane++)
    total += sums[lane][threadIdx.x];
  float *to = out + (int64_t)blockIdx.y * columns + column;
  *to = accumulate ? *to + total : total;
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

template <typename T>
static cudaError_t
column_sums (const T *x, int64_t rows, int64_t columns, float *sums, float *workspace,
             cudaStream_t stream) {
  int parts = count_parts (rows);
  dim3 grid ((unsigned)ceil_div (columns, COLUMNS), (unsigned)parts);
  dim3 block (COLUMNS, LANES);
  column_sums_kernel<T><<<grid, block, 0, stream>>> (x, rows, columns, ceil_div (rows, parts),
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
    return column_sums ((const decltype (zero) *)x, rows, columns, sums, (float *)workspace,
                        stream);
  });
}
