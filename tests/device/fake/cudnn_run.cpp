#include "tests/device/fake/cudnn.h"

#include <cmath>
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/device/shim/sanitizers.h"

namespace cudnn {

size_t
element_bytes (cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_INT32 ? 4 : 2;
}

static double
load (const void *data, long i, cudnnDataType_t type) {
  if (type == CUDNN_DATA_BFLOAT16)
    return (double)__bfloat162float (((const __nv_bfloat16 *)data)[i]);
  if (type == CUDNN_DATA_HALF)
    return (double)__half2float (((const __half *)data)[i]);
  return (double)((const float *)data)[i];
}

static void
store (void *data, long i, cudnnDataType_t type, double value) {
  if (type == CUDNN_DATA_BFLOAT16)
    ((__nv_bfloat16 *)data)[i] = __float2bfloat16 ((float)value);
  else if (type == CUDNN_DATA_HALF)
    ((__half *)data)[i] = __float2half ((float)value);
  else
    ((float *)data)[i] = (float)value;
}

/* As the type keeps it. */
static double
round_to (cudnnDataType_t type, double value) {
  float kept = 0;
  if (type == CUDNN_DATA_INT32 || type == CUDNN_DATA_BOOLEAN)
    return value;
  store (&kept, 0, type, value);
  return load (&kept, 0, type);
}

/* A tensor's values, in the order of its dimensions whatever its strides. */
typedef std::vector<double> Values;

static void
index_of (const Tensor &tensor, long element, long *index) {
  for (int d = (int)tensor.dims.size () - 1; d >= 0; d--) {
    index[d] = element % tensor.dims[(size_t)d];
    element /= tensor.dims[(size_t)d];
  }
}

static long
place_of (const Tensor &tensor, long element) {
  long index[CUDNN_DIM_MAX], place = 0;
  index_of (tensor, element, index);
  for (size_t d = 0; d < tensor.dims.size (); d++)
    place += index[d] * tensor.strides[d];
  return place;
}

/* The element of FROM that stands at ELEMENT of TO; dimensions of 1 are repeated. */
static long
broadcast (const Tensor &from, const Tensor &to, long element) {
  long index[CUDNN_DIM_MAX], result = 0;
  index_of (to, element, index);
  for (size_t d = 0; d < from.dims.size (); d++)
    result = result * from.dims[d] + (from.dims[d] == 1 ? 0 : index[d]);
  return result;
}

static bool
fits (const Tensor &from, const Tensor &to) {
  for (size_t d = 0; d < to.dims.size (); d++)
    if (from.dims[d] != to.dims[d] && from.dims[d] != 1)
      return false;
  return true;
}

static bool
is_product (const Node &n) {
  const std::vector<int64_t> &x = n.x.dims, &b = n.b.dims, &y = n.y.dims;
  return x[0] == y[0] && x[1] == y[1] && b[0] == y[0] && b[1] == y[1] && x[2] == y[2]
         && b[3] == y[3] && x[3] == b[2];
}

const char *
check (const Graph &graph) {
  std::map<int64_t, bool> made;
  for (const Node &n : graph.nodes) {
    const Tensor *read[] = { &n.x, n.has_b ? &n.b : nullptr, n.has_t ? &n.t : nullptr };
    for (const Tensor *tensor : read)
      if (tensor && tensor->is_virtual && !made[tensor->id])
        return "a virtual tensor is read before a node makes it";
    if (n.y.by_value || made[n.y.id])
      return "a tensor is made twice, or by value";
    made[n.y.id] = true;
    bool good = true;
    if (n.operation == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
      good = is_product (n);
    else if (n.operation == CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)
      good = n.x.elements () == n.y.elements ();
    else if (n.operation == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)
      good = fits (n.y, n.x);
    else
      good = fits (n.x, n.y) && (!n.has_b || fits (n.b, n.y)) && (!n.has_t || fits (n.t, n.y));
    if (!good)
      return "dimensions of a node do not fit";
  }
  return nullptr;
}

/* ---- Nodes ---- */

struct Run {
  const Execution &execution;
  std::map<int64_t, Values> made;
  explicit Run (const Execution &e) : execution (e) {
  }
  Values read (const Tensor &tensor);
  void write (const Tensor &tensor, Values values);
};

Values
Run::read (const Tensor &tensor) {
  if (tensor.by_value)
    return Values (1, (double)execution.numbers.at (tensor.id));
  auto found = made.find (tensor.id);
  if (found != made.end ())
    return found->second;
  const char *data = (const char *)execution.pointers.at (tensor.id);
  const size_t bytes = element_bytes (tensor.type);
  Values values ((size_t)tensor.elements ());
  for (long i = 0; i < tensor.elements (); i++) {
    const long place = place_of (tensor, i);
    sanitizers::touch_read (data + place * (long)bytes, bytes);
    values[(size_t)i] = load (data, place, tensor.type);
  }
  return values;
}

void
Run::write (const Tensor &tensor, Values values) {
  for (double &value : values)
    value = round_to (tensor.type, value);
  if (!tensor.is_virtual) {
    char *data = (char *)execution.pointers.at (tensor.id);
    const size_t bytes = element_bytes (tensor.type);
    for (long i = 0; i < tensor.elements (); i++) {
      const long place = place_of (tensor, i);
      sanitizers::touch_write (data + place * (long)bytes, bytes);
      store (data, place, tensor.type, values[(size_t)i]);
    }
  }
  made[tensor.id] = std::move (values);
}

static Values
multiply (const Node &n, const Values &a, const Values &b) {
  const long rows = n.x.dims[2], inner = n.x.dims[3], columns = n.b.dims[3];
  Values sums ((size_t)n.y.elements ());
  for (long batch = 0; batch < n.y.dims[0] * n.y.dims[1]; batch++)
    for (long i = 0; i < rows; i++)
      for (long l = 0; l < inner; l++) {
        const double factor = a[(size_t)((batch * rows + i) * inner + l)];
        const double *from = &b[(size_t)((batch * inner + l) * columns)];
        double *to = &sums[(size_t)((batch * rows + i) * columns)];
        for (long j = 0; j < columns; j++)
          to[j] += factor * from[j];
      }
  return sums;
}

static Values
reduce (const Node &n, const Values &x) {
  const bool greatest = n.mode == CUDNN_REDUCE_TENSOR_MAX;
  Values result ((size_t)n.y.elements (), greatest ? -(double)INFINITY : 0.0);
  for (long i = 0; i < n.x.elements (); i++) {
    double &to = result[(size_t)broadcast (n.y, n.x, i)];
    to = greatest ? fmax (to, x[(size_t)i]) : to + x[(size_t)i];
  }
  return result;
}

/* y's memory would be x's: each of its elements is the one of x at the same place. */
static Values
reshape (const Node &n, const Values &x) {
  std::map<long, double> memory;
  Values result ((size_t)n.y.elements ());
  for (long i = 0; i < n.x.elements (); i++)
    memory[place_of (n.x, i)] = x[(size_t)i];
  for (long i = 0; i < n.y.elements (); i++) {
    auto found = memory.find (place_of (n.y, i));
    result[(size_t)i] = found == memory.end () ? (double)NAN : found->second;
  }
  return result;
}

static double
compute (const Node &n, double x, double b, double t, long index) {
  switch (n.mode) {
  case CUDNN_POINTWISE_ADD:
    return x + b;
  case CUDNN_POINTWISE_SUB:
    return x - b;
  case CUDNN_POINTWISE_MUL:
    return x * b;
  case CUDNN_POINTWISE_DIV:
    return x / b;
  case CUDNN_POINTWISE_EXP:
    return exp (x);
  case CUDNN_POINTWISE_LOG:
    return log (x);
  case CUDNN_POINTWISE_CMP_GE:
    return x >= b;
  case CUDNN_POINTWISE_BINARY_SELECT:
    return t != 0 ? x : b;
  case CUDNN_POINTWISE_GEN_INDEX:
    return (double)index;
  default:
    return (double)NAN;
  }
}

static Values
map (const Node &n, const Values &x, const Values &b, const Values &t) {
  Values result ((size_t)n.y.elements ());
  for (long i = 0; i < n.y.elements (); i++) {
    long index[CUDNN_DIM_MAX];
    index_of (n.y, i, index);
    result[(size_t)i] = compute (n, x[(size_t)broadcast (n.x, n.y, i)],
                                 n.has_b ? b[(size_t)broadcast (n.b, n.y, i)] : 0,
                                 n.has_t ? t[(size_t)broadcast (n.t, n.y, i)] : 0, index[n.axis]);
  }
  return result;
}

void
run (const Execution &execution) {
  if (execution.workspace_bytes) {
    sanitizers::touch_write (execution.workspace, execution.workspace_bytes);
    memset (execution.workspace, 0xff, execution.workspace_bytes);
  }
  Run state (execution);
  for (const Node &n : execution.graph->nodes) {
    const Values x = state.read (n.x);
    const Values b = n.has_b ? state.read (n.b) : Values ();
    if (n.operation == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
      state.write (n.y, multiply (n, x, b));
    else if (n.operation == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)
      state.write (n.y, reduce (n, x));
    else if (n.operation == CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)
      state.write (n.y, reshape (n, x));
    else
      state.write (n.y, map (n, x, b, n.has_t ? state.read (n.t) : Values ()));
  }
}

} // namespace cudnn
