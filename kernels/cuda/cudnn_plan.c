/* From a graph's tables to something that runs, through cuDNN's descriptors: tensors, operations,
 * the operation graph, an engine that the heuristic names, the plan. */
#include "kernels/cuda/cudnn_private.h"
#include <stdbool.h>

#define ALIGNMENT 16      /* of every tensor in memory */
#define CONFIGURATIONS 16 /* of an engine that are looked at */

struct PwCudnnPlan {
  const PwCudnnCalls *calls;
  cudnnHandle_t handle;
  GPtrArray *descriptors; /* all that lead to it, in the order of making */
  cudnnBackendDescriptor_t plan;
  int64_t workspace;
  int n_ids;
  int64_t *ids; /* of the tensors in memory and the numbers */
};

/* The first status that is no success stays, and later calls do nothing. */
typedef struct {
  PwCudnnPlan *plan;
  cudnnStatus_t status;
} Builder;

static cudnnBackendDescriptor_t
begin (Builder *b, cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = NULL;
  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = b->plan->calls->create_descriptor (type, &descriptor);
  if (descriptor)
    g_ptr_array_add (b->plan->descriptors, descriptor);
  return descriptor;
}

static void
put (Builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
     cudnnBackendAttributeType_t type, int64_t count, const void *values) {
  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = b->plan->calls->set_attribute (descriptor, name, type, count, values);
}

static void
put_descriptor (Builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendDescriptor_t value) {
  put (b, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void
put_type (Builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
          cudnnDataType_t value) {
  put (b, descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

static void
put_handle (Builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name) {
  put (b, descriptor, name, CUDNN_TYPE_HANDLE, 1, &b->plan->handle);
}

static void
finish (Builder *b, cudnnBackendDescriptor_t descriptor) {
  if (b->status == CUDNN_STATUS_SUCCESS)
    b->status = b->plan->calls->finalize (descriptor);
}

static cudnnBackendDescriptor_t
describe_tensor (Builder *b, const PwCudnnTensor *tensor, int64_t id) {
  const int64_t alignment = ALIGNMENT;
  const bool is_virtual = tensor->place == PW_CUDNN_VIRTUAL;
  const bool is_value = tensor->place == PW_CUDNN_VALUE;
  cudnnBackendDescriptor_t d = begin (b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  put (b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  put_type (b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, tensor->type);
  put (b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, PW_CUDNN_DIMS, tensor->dims);
  put (b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, PW_CUDNN_DIMS, tensor->strides);
  put (b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  put (b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  put (b, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &is_value);
  finish (b, d);
  return d;
}

/* What an operation computes lies in a descriptor of its own; a reshape has none. */
static cudnnBackendDescriptor_t
describe_computation (Builder *b, const PwCudnnNode *node) {
  cudnnBackendDescriptor_t d;
  const cudnnReduceTensorOp_t reduction = (cudnnReduceTensorOp_t)node->mode;
  const cudnnPointwiseMode_t mode = (cudnnPointwiseMode_t)node->mode;
  switch (node->operation) {
  case PW_CUDNN_MATMUL:
    d = begin (b, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    put_type (b, d, CUDNN_ATTR_MATMUL_COMP_TYPE, node->math);
    break;
  case PW_CUDNN_POINTWISE:
    d = begin (b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    put (b, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    put_type (b, d, CUDNN_ATTR_POINTWISE_MATH_PREC, node->math);
    if (mode == CUDNN_POINTWISE_GEN_INDEX)
      put (b, d, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &node->axis);
    break;
  case PW_CUDNN_REDUCTION:
    d = begin (b, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    put (b, d, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &reduction);
    put_type (b, d, CUDNN_ATTR_REDUCTION_COMP_TYPE, node->math);
    break;
  default:
    return NULL;
  }
  finish (b, d);
  return d;
}

static cudnnBackendDescriptor_t
describe_operation (Builder *b, const PwCudnnNode *node, const cudnnBackendDescriptor_t *tensors) {
  static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t computation, x, b, t, y;
  } rows[] = {
    [PW_CUDNN_MATMUL] = { .type = CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
                          .computation = CUDNN_ATTR_OPERATION_MATMUL_DESC,
                          .x = CUDNN_ATTR_OPERATION_MATMUL_ADESC,
                          .b = CUDNN_ATTR_OPERATION_MATMUL_BDESC,
                          .y = CUDNN_ATTR_OPERATION_MATMUL_CDESC },
    [PW_CUDNN_POINTWISE] = { .type = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                             .computation = CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                             .x = CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                             .b = CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                             .t = CUDNN_ATTR_OPERATION_POINTWISE_TDESC,
                             .y = CUDNN_ATTR_OPERATION_POINTWISE_YDESC },
    [PW_CUDNN_REDUCTION] = { .type = CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
                             .computation = CUDNN_ATTR_OPERATION_REDUCTION_DESC,
                             .x = CUDNN_ATTR_OPERATION_REDUCTION_XDESC,
                             .y = CUDNN_ATTR_OPERATION_REDUCTION_YDESC },
    [PW_CUDNN_RESHAPE] = { .type = CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                           .x = CUDNN_ATTR_OPERATION_RESHAPE_XDESC,
                           .y = CUDNN_ATTR_OPERATION_RESHAPE_YDESC },
  };
  cudnnBackendDescriptor_t computation = describe_computation (b, node);
  cudnnBackendDescriptor_t d = begin (b, rows[node->operation].type);
  if (computation)
    put_descriptor (b, d, rows[node->operation].computation, computation);
  put_descriptor (b, d, rows[node->operation].x, tensors[node->x]);
  if (node->b)
    put_descriptor (b, d, rows[node->operation].b, tensors[node->b]);
  if (node->t)
    put_descriptor (b, d, rows[node->operation].t, tensors[node->t]);
  put_descriptor (b, d, rows[node->operation].y, tensors[node->y]);
  finish (b, d);
  return d;
}

static cudnnBackendDescriptor_t
describe_graph (Builder *b, const PwCudnnGraph *graph) {
  g_autofree cudnnBackendDescriptor_t *tensors
      = g_new0 (cudnnBackendDescriptor_t, (gsize)graph->n_tensors);
  g_autofree cudnnBackendDescriptor_t *operations
      = g_new0 (cudnnBackendDescriptor_t, (gsize)graph->n_nodes);
  for (int i = 0; i < graph->n_nodes; i++) {
    const PwCudnnNode *node = &graph->nodes[i];
    const int used[] = { node->x, node->b, node->t, node->y };
    for (gsize k = 0; k < G_N_ELEMENTS (used); k++) {
      const PwCudnnTensor *tensor = &graph->tensors[used[k]];
      if (used[k] == 0 || tensors[used[k]])
        continue;
      tensors[used[k]] = describe_tensor (b, tensor, used[k]);
      if (tensor->place != PW_CUDNN_VIRTUAL)
        b->plan->ids[b->plan->n_ids++] = used[k];
    }
    operations[i] = describe_operation (b, node, tensors);
  }
  cudnnBackendDescriptor_t d = begin (b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  put (b, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph->n_nodes,
       operations);
  put_handle (b, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
  finish (b, d);
  return d;
}

static gboolean
is_deterministic (Builder *b, cudnnBackendDescriptor_t configuration) {
  const PwCudnnCalls *calls = b->plan->calls;
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendDescriptor_t engine = begin (b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  int64_t count = 0;
  if (b->status != CUDNN_STATUS_SUCCESS
      || calls->get_attribute (configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine)
             != CUDNN_STATUS_SUCCESS
      || calls->get_attribute (engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                               CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes)
             != CUDNN_STATUS_SUCCESS)
    return FALSE;
  for (int64_t i = 0; i < MIN (count, CUDNN_NUMERICAL_NOTE_TYPE_COUNT); i++)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
      return FALSE;
  return TRUE;
}

/* That an engine does not take the graph is no error: there may be others. */
static gboolean
try_configuration (Builder *b, cudnnBackendDescriptor_t configuration, gsize workspace_max) {
  int64_t count = 0;
  Builder trial = *b;
  cudnnBackendDescriptor_t d = begin (&trial, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  put_handle (&trial, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
  put_descriptor (&trial, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  finish (&trial, d);
  if (trial.status != CUDNN_STATUS_SUCCESS
      || b->plan->calls->get_attribute (d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                        CUDNN_TYPE_INT64, 1, &count, &b->plan->workspace)
             != CUDNN_STATUS_SUCCESS
      || b->plan->workspace < 0 || (guint64)b->plan->workspace > workspace_max)
    return FALSE;
  b->plan->plan = d;
  return TRUE;
}

static gboolean
choose (Builder *b, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
        gsize workspace_max) {
  cudnnBackendDescriptor_t configurations[CONFIGURATIONS];
  int64_t count = 0;
  Builder trial = *b;
  cudnnBackendDescriptor_t d = begin (&trial, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  put_descriptor (&trial, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  put (&trial, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  finish (&trial, d);
  for (int i = 0; i < CONFIGURATIONS; i++)
    configurations[i] = begin (&trial, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (trial.status != CUDNN_STATUS_SUCCESS
      || b->plan->calls->get_attribute (d, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGURATIONS, &count,
                                        configurations)
             != CUDNN_STATUS_SUCCESS)
    return FALSE;
  for (int64_t i = 0; i < MIN (count, CONFIGURATIONS); i++)
    if (is_deterministic (b, configurations[i])
        && try_configuration (b, configurations[i], workspace_max))
      return TRUE;
  return FALSE;
}

PwCudnnPlan *
pw__cudnn_plan_new (const PwCudnnCalls *calls, cudnnHandle_t handle, const PwCudnnGraph *graph,
                    gsize workspace_max) {
  PwCudnnPlan *plan = g_new0 (PwCudnnPlan, 1);
  plan->calls = calls;
  plan->handle = handle;
  plan->descriptors = g_ptr_array_new ();
  plan->ids = g_new (int64_t, (gsize)graph->n_tensors);
  Builder builder = { .plan = plan };
  cudnnBackendDescriptor_t described = describe_graph (&builder, graph);
  if (builder.status == CUDNN_STATUS_SUCCESS
      && (choose (&builder, described, CUDNN_HEUR_MODE_A, workspace_max)
          || choose (&builder, described, CUDNN_HEUR_MODE_FALLBACK, workspace_max)))
    return plan;
  pw__cudnn_plan_free (plan);
  return NULL;
}

/* Backwards, so that what is built on others goes first. */
void
pw__cudnn_plan_free (PwCudnnPlan *plan) {
  if (!plan)
    return;
  for (guint i = plan->descriptors->len; i > 0; i--)
    plan->calls->destroy_descriptor (g_ptr_array_index (plan->descriptors, i - 1));
  g_ptr_array_unref (plan->descriptors);
  g_free (plan->ids);
  g_free (plan);
}

gsize
pw__cudnn_plan_workspace (const PwCudnnPlan *plan) {
  return (gsize)plan->workspace;
}

static cudnnStatus_t
fill_pack (const PwCudnnPlan *plan, void *const *pointers, void *workspace,
           cudnnBackendDescriptor_t pack) {
  void *used[plan->n_ids];
  for (int i = 0; i < plan->n_ids; i++)
    used[i] = pointers[plan->ids[i]];
  const struct {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *values;
  } rows[] = {
    { CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, plan->n_ids, plan->ids },
    { CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, plan->n_ids, used },
    { CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace },
  };
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  for (gsize i = 0; i < G_N_ELEMENTS (rows) && status == CUDNN_STATUS_SUCCESS; i++)
    status = plan->calls->set_attribute (pack, rows[i].name, rows[i].type, rows[i].count,
                                         rows[i].values);
  return status;
}

cudnnStatus_t
pw__cudnn_plan_run (const PwCudnnPlan *plan, void *const *pointers, void *workspace) {
  const PwCudnnCalls *calls = plan->calls;
  cudnnBackendDescriptor_t pack = NULL;
  cudnnStatus_t status = calls->create_descriptor (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
  if (status != CUDNN_STATUS_SUCCESS)
    return status;
  status = fill_pack (plan, pointers, workspace, pack);
  if (status == CUDNN_STATUS_SUCCESS)
    status = calls->finalize (pack);
  if (status == CUDNN_STATUS_SUCCESS)
    status = calls->execute (plan->handle, plan->plan, pack);
  calls->destroy_descriptor (pack);
  return status;
}
