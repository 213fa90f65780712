/* cuDNN's backend interface, as far as graphs of products, reductions, pointwise operations and
 * reshapes go. Attributes are checked by a table: which a descriptor has, of which type, how many
 * elements, whether it is needed; what a descriptor refers to must have been finalised before. */
#include "tests/device/fake/cudnn.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/device/fake/runtime_private.h"
#include "tests/device/shim/sanitizers.h"

namespace cudnn {

struct Attribute {
  cudnnBackendAttributeType_t type = CUDNN_TYPE_HANDLE;
  int64_t count = 0;
  std::vector<char> bytes;
};

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool is_final = false;
  std::map<int, Attribute> attributes;
  std::shared_ptr<const Graph> graph; /* of an operation graph, and whatever is made from it */
  int engine = -1;
};

struct Handle {
  cudaStream_t stream = nullptr;
};

static std::atomic<size_t> version (CUDNN_VERSION);
static std::atomic<bool> handles_are_refused (false);
static std::atomic<long> failing_execution (0), executions (0), live (0);
static std::atomic<int64_t> shifted_id (0), shift (0);
static std::atomic<int> shifted_dimension (0);
static thread_local std::string last_error;

static cudnnStatus_t
fail (cudnnStatus_t status, const char *why) {
  last_error = why;
  return status;
}

/* ---- Which attributes there are ---- */

struct Rule {
  int descriptor, attribute, type;
  int64_t least, most; /* elements; least 0: it may be missing */
};
static const int64_t MANY = 64;
static const Rule rules[] = {
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 4 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 4 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 0, 1 },
  { CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 0, 1 },
  { CUDNN_BACKEND_MATMUL_DESCRIPTOR, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1 },
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1,
    1 },
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1,
    1 },
  { CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 0, 1 },
  { CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_OPERATOR,
    CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, 1 },
  { CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1,
    1 },
#define REFERENCE(descriptor, attribute, least, most)                                              \
  {                                                                                                \
    CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##attribute,                               \
        CUDNN_TYPE_BACKEND_DESCRIPTOR, least, most                                                 \
  }
  REFERENCE (OPERATION_MATMUL, OPERATION_MATMUL_DESC, 1, 1),
  REFERENCE (OPERATION_MATMUL, OPERATION_MATMUL_ADESC, 1, 1),
  REFERENCE (OPERATION_MATMUL, OPERATION_MATMUL_BDESC, 1, 1),
  REFERENCE (OPERATION_MATMUL, OPERATION_MATMUL_CDESC, 1, 1),
  REFERENCE (OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, 1, 1),
  REFERENCE (OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, 1, 1),
  REFERENCE (OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, 0, 1),
  REFERENCE (OPERATION_POINTWISE, OPERATION_POINTWISE_TDESC, 0, 1),
  REFERENCE (OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, 1, 1),
  REFERENCE (OPERATION_REDUCTION, OPERATION_REDUCTION_DESC, 1, 1),
  REFERENCE (OPERATION_REDUCTION, OPERATION_REDUCTION_XDESC, 1, 1),
  REFERENCE (OPERATION_REDUCTION, OPERATION_REDUCTION_YDESC, 1, 1),
  REFERENCE (OPERATION_RESHAPE, OPERATION_RESHAPE_XDESC, 1, 1),
  REFERENCE (OPERATION_RESHAPE, OPERATION_RESHAPE_YDESC, 1, 1),
  REFERENCE (OPERATIONGRAPH, OPERATIONGRAPH_OPS, 1, MANY),
  REFERENCE (ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, 1, 1),
  REFERENCE (EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, 1, 1),
#undef REFERENCE
  { CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
    1 },
  { CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 1 },
  { CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
    1 },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 1,
    MANY },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
    CUDNN_TYPE_VOID_PTR, 1, MANY },
  { CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
    0, 1 },
};

static size_t
bytes_of (int type) {
  switch (type) {
  case CUDNN_TYPE_INT64:
  case CUDNN_TYPE_HANDLE:
  case CUDNN_TYPE_VOID_PTR:
  case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    return 8;
  case CUDNN_TYPE_BOOLEAN:
    return 1;
  default:
    return 4; /* enumerations */
  }
}

/* Element I of an attribute; 0 where it was not set. */
template <typename T>
static T
value (const Descriptor *d, int attribute, int64_t i = 0) {
  auto found = d->attributes.find (attribute);
  T result = T ();
  if (found != d->attributes.end () && i < found->second.count)
    memcpy (&result, found->second.bytes.data () + (size_t)i * sizeof result, sizeof result);
  return result;
}

static Descriptor *
reference (const Descriptor *d, int attribute, int64_t i = 0) {
  return value<Descriptor *> (d, attribute, i);
}

/* ---- Finalising ---- */

static Tensor
tensor_of (const Descriptor *d) {
  Tensor tensor;
  if (!d)
    return tensor;
  tensor.id = value<int64_t> (d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  tensor.type = value<cudnnDataType_t> (d, CUDNN_ATTR_TENSOR_DATA_TYPE);
  tensor.is_virtual = value<bool> (d, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  tensor.by_value = value<bool> (d, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
  for (int i = 0; i < 4; i++) {
    tensor.dims.push_back (value<int64_t> (d, CUDNN_ATTR_TENSOR_DIMENSIONS, i));
    tensor.strides.push_back (value<int64_t> (d, CUDNN_ATTR_TENSOR_STRIDES, i));
  }
  if (tensor.id == shifted_id)
    tensor.strides[(size_t)shifted_dimension] += shift;
  return tensor;
}

static Node
node_of (const Descriptor *d) {
  static const struct {
    int type, computation, mode, x, b, t, y;
  } rows[] = {
    { CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_DESC, -1,
      CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC, -1,
      CUDNN_ATTR_OPERATION_MATMUL_CDESC },
    { CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
      CUDNN_ATTR_POINTWISE_MODE, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
      CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_ATTR_OPERATION_POINTWISE_TDESC,
      CUDNN_ATTR_OPERATION_POINTWISE_YDESC },
    { CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_ATTR_OPERATION_REDUCTION_DESC,
      CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, -1, -1,
      CUDNN_ATTR_OPERATION_REDUCTION_YDESC },
    { CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, -1, -1, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, -1,
      -1, CUDNN_ATTR_OPERATION_RESHAPE_YDESC },
  };
  Node node;
  node.operation = d->type;
  for (const auto &row : rows)
    if (row.type == (int)d->type) {
      const Descriptor *computation = reference (d, row.computation);
      node.mode = computation && row.mode >= 0 ? value<int> (computation, row.mode) : 0;
      node.axis = computation ? value<int64_t> (computation, CUDNN_ATTR_POINTWISE_AXIS) : 0;
      node.x = tensor_of (reference (d, row.x));
      node.b = tensor_of (reference (d, row.b));
      node.t = tensor_of (reference (d, row.t));
      node.y = tensor_of (reference (d, row.y));
      node.has_b = reference (d, row.b) != nullptr;
      node.has_t = reference (d, row.t) != nullptr;
    }
  return node;
}

static cudnnStatus_t
finalize_graph (Descriptor *d) {
  auto graph = std::make_shared<Graph> ();
  for (int64_t i = 0; i < d->attributes[CUDNN_ATTR_OPERATIONGRAPH_OPS].count; i++)
    graph->nodes.push_back (node_of (reference (d, CUDNN_ATTR_OPERATIONGRAPH_OPS, i)));
  const char *wrong = check (*graph);
  if (wrong)
    return fail (CUDNN_STATUS_BAD_PARAM, wrong);
  d->graph = graph;
  return CUDNN_STATUS_SUCCESS;
}

/* Engine 0 is fast and adds in any order, which is why it must not be taken; 1 takes heads up to
 * 128 numbers wide. */
enum { ANY_ORDER, IN_ORDER, N_ENGINES };

static bool
takes (const Graph &graph) {
  const Node &last = graph.nodes.back ();
  return last.y.dims[3] <= 128;
}

static cudnnStatus_t
finalize_plan (Descriptor *d) {
  const Descriptor *configuration = reference (d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  d->graph = configuration->graph;
  d->engine = configuration->engine;
  return takes (*d->graph) ? CUDNN_STATUS_SUCCESS
                           : fail (CUDNN_STATUS_NOT_SUPPORTED_SHAPE, "a head is too wide");
}

static cudnnStatus_t
check_attributes (const Descriptor *d) {
  for (const Rule &rule : rules)
    if (rule.descriptor == (int)d->type && rule.least > 0 && !d->attributes.count (rule.attribute))
      return fail (CUDNN_STATUS_BAD_PARAM, "an attribute is missing");
  for (const auto &entry : d->attributes)
    if (entry.second.type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
      for (int64_t i = 0; i < entry.second.count; i++)
        if (!reference (d, entry.first, i) || !reference (d, entry.first, i)->is_final)
          return fail (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "it refers to what is not finalised");
  return CUDNN_STATUS_SUCCESS;
}

static size_t
workspace_of (const Graph &graph) {
  return 64 * graph.nodes.size ();
}

/* ---- Running ---- */

static cudnnStatus_t
take_pointer (Execution *execution, const Tensor &tensor, const std::map<int64_t, void *> &given) {
  if (tensor.is_virtual || !tensor.id)
    return CUDNN_STATUS_SUCCESS;
  auto found = given.find (tensor.id);
  if (found == given.end () || !found->second)
    return fail (CUDNN_STATUS_BAD_PARAM, "a tensor has no pointer");
  if (tensor.by_value) {
    memcpy (&execution->numbers[tensor.id], found->second, sizeof (float));
    return CUDNN_STATUS_SUCCESS;
  }
  if ((uintptr_t)found->second % 16)
    return fail (CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "a pointer is not aligned");
  if (pw__fake_device_of (found->second, 1) < 0)
    return fail (CUDNN_STATUS_EXECUTION_FAILED, "a pointer is not in device memory");
  execution->pointers[tensor.id] = found->second;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t
prepare (Execution *execution, const Descriptor *plan, const Descriptor *pack) {
  std::map<int64_t, void *> given;
  for (int64_t i = 0; i < pack->attributes.at (CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count; i++)
    given[value<int64_t> (pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i)]
        = value<void *> (pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
  execution->graph = plan->graph;
  execution->workspace = value<char *> (pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  execution->workspace_bytes = workspace_of (*plan->graph);
  if (pw__fake_device_of (execution->workspace, execution->workspace_bytes) < 0)
    return fail (CUDNN_STATUS_EXECUTION_FAILED, "the workspace is not in device memory");
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  for (const Node &node : plan->graph->nodes)
    for (const Tensor *tensor : { &node.x, &node.b, &node.t, &node.y })
      if (status == CUDNN_STATUS_SUCCESS)
        status = take_pointer (execution, *tensor, given);
  return status;
}

} // namespace cudnn

using namespace cudnn;

extern "C" {

void
pw_fake_cudnn_set_version (size_t code) {
  version = code;
}

void
pw_fake_cudnn_refuse_handles (int refuse) {
  handles_are_refused = refuse != 0;
}

void
pw_fake_cudnn_fail_execution (long n) {
  failing_execution = n;
}

void
pw_fake_cudnn_shift_stride (int64_t id, int dimension, int64_t by) {
  shifted_id = id;
  shifted_dimension = dimension;
  shift = by;
}

long
pw_fake_cudnn_executions (void) {
  return executions;
}

long
pw_fake_cudnn_live_descriptors (void) {
  return live;
}

size_t
cudnnGetVersion (void) {
  return version;
}

const char *
cudnnGetErrorString (cudnnStatus_t status) {
  return status == CUDNN_STATUS_EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED"
         : status == CUDNN_STATUS_SUCCESS        ? "CUDNN_STATUS_SUCCESS"
                                                 : "CUDNN_STATUS_BAD_PARAM";
}

void
cudnnGetLastErrorString (char *message, size_t bytes) {
  snprintf (message, bytes, "%s", last_error.c_str ());
}

cudnnStatus_t
cudnnCreate (cudnnHandle_t *handle) {
  sanitizers::Hidden hidden;
  if (handles_are_refused)
    return fail (CUDNN_STATUS_NOT_INITIALIZED, "handles are refused");
  *handle = (cudnnHandle_t) new Handle;
  live++;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroy (cudnnHandle_t handle) {
  sanitizers::Hidden hidden;
  delete (Handle *)handle;
  live--;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnSetStream (cudnnHandle_t handle, cudaStream_t stream) {
  ((Handle *)handle)->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendCreateDescriptor (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
  sanitizers::Hidden hidden;
  Descriptor *d = new Descriptor;
  d->type = type;
  *out = d;
  live++;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendDestroyDescriptor (cudnnBackendDescriptor_t descriptor) {
  sanitizers::Hidden hidden;
  delete (Descriptor *)descriptor;
  live--;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendSetAttribute (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  sanitizers::Hidden hidden;
  Descriptor *d = (Descriptor *)descriptor;
  if (!d || !values || d->is_final)
    return fail (CUDNN_STATUS_BAD_PARAM, "nothing to set, or it is finalised");
  for (const Rule &rule : rules)
    if (rule.descriptor == (int)d->type && rule.attribute == (int)name) {
      if (rule.type != (int)type)
        return fail (CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "an attribute of another type");
      if (count < rule.least || count > rule.most)
        return fail (CUDNN_STATUS_BAD_PARAM, "a wrong number of elements");
      Attribute &attribute = d->attributes[name];
      attribute.type = type;
      attribute.count = count;
      const char *from = (const char *)values;
      attribute.bytes.assign (from, from + (size_t)count * bytes_of (type));
      return CUDNN_STATUS_SUCCESS;
    }
  return fail (CUDNN_STATUS_BAD_PARAM, "the descriptor has no such attribute");
}

cudnnStatus_t
cudnnBackendFinalize (cudnnBackendDescriptor_t descriptor) {
  sanitizers::Hidden hidden;
  Descriptor *d = (Descriptor *)descriptor;
  if (!d || d->is_final)
    return fail (CUDNN_STATUS_BAD_PARAM, "nothing to finalise");
  cudnnStatus_t status = check_attributes (d);
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
    status = finalize_graph (d);
  if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
    status = finalize_plan (d);
  d->is_final = status == CUDNN_STATUS_SUCCESS;
  return status;
}

/* Results are written into descriptors that the caller has made. */
cudnnStatus_t
cudnnBackendGetAttribute (cudnnBackendDescriptor_t const descriptor,
                          cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t room, int64_t *count, void *values) {
  sanitizers::Hidden hidden;
  const Descriptor *d = (const Descriptor *)descriptor;
  Descriptor **made = (Descriptor **)values;
  if (!d || !d->is_final || room < 1)
    return fail (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "asked of what is not finalised");
  *count = 1;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (*count = 0; *count < room && *count < N_ENGINES; ++*count) {
      Descriptor *configuration = made[*count];
      configuration->graph = reference (d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)->graph;
      configuration->engine = (int)*count;
      configuration->is_final = true;
    }
  } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    made[0]->engine = d->engine;
    made[0]->is_final = true;
  } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
    *count = d->engine == ANY_ORDER && room > 1 ? 2 : 1;
    ((int *)values)[0] = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    if (*count == 2)
      ((int *)values)[1] = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
  } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
    *(int64_t *)values = (int64_t)workspace_of (*d->graph);
  } else
    return fail (CUDNN_STATUS_NOT_SUPPORTED, "an attribute that the fake does not tell");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnBackendExecute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan_descriptor,
                     cudnnBackendDescriptor_t pack_descriptor) {
  const Descriptor *plan = (const Descriptor *)plan_descriptor;
  const Descriptor *pack = (const Descriptor *)pack_descriptor;
  sanitizers::Hidden hidden;
  if (!handle || !plan || !pack || !plan->is_final || !pack->is_final)
    return fail (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a plan or pack is not finalised");
  if (countdown (failing_execution) || plan->engine == ANY_ORDER)
    return fail (CUDNN_STATUS_EXECUTION_FAILED, "as the test wants it");
  auto *owned = new std::shared_ptr<Execution> (std::make_shared<Execution> ());
  cudnnStatus_t status = prepare (owned->get (), plan, pack);
  if (status != CUDNN_STATUS_SUCCESS) {
    delete owned;
    return status;
  }
  executions++;
  cudaError_t code
      = pw__fake_enqueue (((Handle *)handle)->stream, "a cuDNN graph",
                          [] (void *data) { run (**(std::shared_ptr<Execution> *)data); }, nullptr,
                          [] (void *data) { delete (std::shared_ptr<Execution> *)data; }, owned);
  return code == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}
}
