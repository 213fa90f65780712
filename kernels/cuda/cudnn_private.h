/* cuDNN's graph interface. The library is large and may be missing where the program runs, so it is
 * opened on demand (cudnn.c). A graph is a table of tensors and a table of nodes (cudnn_plan.c). */
#pragma once
#include <cudnn_graph.h>
#include <glib.h>

typedef struct {
  char name[32];                /* with the version */
  size_t (*get_version) (void); /* 10000 * major + 100 * minor + patch */
  cudnnStatus_t (*create) (cudnnHandle_t *);
  cudnnStatus_t (*destroy) (cudnnHandle_t);
  cudnnStatus_t (*set_stream) (cudnnHandle_t, cudaStream_t);
  const char *(*get_error_string) (cudnnStatus_t);
  void (*get_last_error_string) (char *message, size_t bytes);
  cudnnStatus_t (*create_descriptor) (cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *);
  cudnnStatus_t (*destroy_descriptor) (cudnnBackendDescriptor_t);
  cudnnStatus_t (*set_attribute) (cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                                  cudnnBackendAttributeType_t, int64_t count, const void *);
  cudnnStatus_t (*get_attribute) (cudnnBackendDescriptor_t const, cudnnBackendAttributeName_t,
                                  cudnnBackendAttributeType_t, int64_t room, int64_t *count,
                                  void *);
  cudnnStatus_t (*finalize) (cudnnBackendDescriptor_t);
  cudnnStatus_t (*execute) (cudnnHandle_t, cudnnBackendDescriptor_t plan,
                            cudnnBackendDescriptor_t pack);
} PwCudnnCalls;

/* cudnn.c. NULL where libcudnn.so.9 is not found, is older than what is known to work, or where the
 * environment has PW_CUDNN=0. The answer is the same for the life of the process. */
const PwCudnnCalls *pw__cudnn_calls (void);

#define PW_CUDNN_DIMS 4

typedef enum {
  PW_CUDNN_VIRTUAL, /* between two nodes; never in memory */
  PW_CUDNN_DEVICE,
  PW_CUDNN_VALUE /* a number in host memory that is read when the plan is made or run */
} PwCudnnPlace;

typedef struct {
  PwCudnnPlace place;
  cudnnDataType_t type;
  int64_t dims[PW_CUDNN_DIMS], strides[PW_CUDNN_DIMS];
} PwCudnnTensor;

typedef enum {
  PW_CUDNN_MATMUL,    /* y = x b */
  PW_CUDNN_POINTWISE, /* y = mode (x, b, t) */
  PW_CUDNN_REDUCTION, /* y = mode over the dimensions where y has 1 */
  PW_CUDNN_RESHAPE    /* y is x seen with other dimensions and strides */
} PwCudnnOperation;

/* Tensors are places in the graph's table; 0 is no tensor. */
typedef struct {
  PwCudnnOperation operation;
  int mode; /* cudnnPointwiseMode_t, cudnnReduceTensorOp_t */
  int x, b, t, y;
  cudnnDataType_t math; /* CUDNN_DATA_FLOAT is 0 */
  int64_t axis;         /* of CUDNN_POINTWISE_GEN_INDEX */
} PwCudnnNode;

typedef struct {
  const PwCudnnTensor *tensors; /* a tensor's unique id is its place; 0 is unused */
  int n_tensors;
  const PwCudnnNode *nodes;
  int n_nodes;
} PwCudnnGraph;

typedef struct PwCudnnPlan PwCudnnPlan;

/* cudnn_plan.c. The heuristic's first engine that is not noted to add in any order, takes the graph
 * on this device and needs no more workspace than WORKSPACE_MAX; NULL: there is none. An engine
 * without the note may still do it: the graph must leave no choice. No engine is timed, so ranks
 * with the same library and device choose the same. */
PwCudnnPlan *pw__cudnn_plan_new (const PwCudnnCalls *, cudnnHandle_t, const PwCudnnGraph *,
                                 gsize workspace_max);
void pw__cudnn_plan_free (PwCudnnPlan *);
gsize pw__cudnn_plan_workspace (const PwCudnnPlan *);
/* POINTERS: by place in the graph's table, NULL for virtual tensors. */
cudnnStatus_t pw__cudnn_plan_run (const PwCudnnPlan *, void *const *pointers, void *workspace);
