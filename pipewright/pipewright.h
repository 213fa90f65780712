/* pipewright: pipeline-parallel training for your own program (GPipe's idea, arXiv 1811.06965, in C).
 *
 *   PwSequential *model = pw_sequential_new ();
 *   for (int i = 0; i < 100; i++)
 *     pw_sequential_add (model, "linear", "in", 1000, "out", 1000, NULL);
 *   int balance[] = { 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 };
 *   PwPipeline *pipeline = pw_pipeline_new (model, balance, 10, 8, NULL, &error);
 *   pw_pipeline_forward_backward (pipeline, input, n, target, NULL, NULL, &loss, &error);
 *   pw_optimizer_step (pipeline, &error);
 *
 * Tensors are contiguous fp32 (token ids: int32) in host memory, sample after sample. Errors:
 * functions return FALSE or NULL and set a GError; its message says what and where. One pipeline is
 * used by one thread at a time; different pipelines are independent. */
#pragma once
#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

const char *pw_version (void); /* "0.1.0" */

#define PW_PIPELINE_ERROR (pw_pipeline_error_quark ())
GQuark pw_pipeline_error_quark (void);
typedef enum {
  PW_PIPELINE_ERROR_MODEL,  /* a layer or its sizes */
  PW_PIPELINE_ERROR_VALUE,  /* an argument that cannot be: balance, chunks, sizes */
  PW_PIPELINE_ERROR_ORDER   /* backward without a forward */
} PwPipelineError;

/* ---- Models: a chain of built-in layers ---- */

typedef struct PwSequential PwSequential;
PwSequential *pw_sequential_new (void);
/* TYPE is a layer type ("linear", "relu", "gelu", "layernorm", ...: `pipewright model list`). Then
 * pairs of attribute name and int64_t-sized value, NULL at the end: "in", (int64_t) 10. Fractions
 * (dropout's "probability") need pw_sequential_add_json. The first error is kept and reported by
 * pw_pipeline_new. */
void pw_sequential_add (PwSequential *model, const char *type, ...) G_GNUC_NULL_TERMINATED;
/* The same with attributes as JSON: {"type": "linear", "in": 10, "out": 10, "repeat": 3}. */
void pw_sequential_add_json (PwSequential *model, const char *json);
void pw_sequential_free (PwSequential *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSequential, pw_sequential_free)

/* ---- Pipelines ---- */

typedef enum { PW_PIPELINE_SGD, PW_PIPELINE_ADAM, PW_PIPELINE_ADAMW } PwPipelineOptimizer;

/* Zeroed is the default everywhere. */
typedef struct {
  const char *schedule;  /* NULL: "1f1b"; for forward_backward. "gpipe", "naive", ... */
  const char *loss;      /* NULL or "mse"; "cross_entropy": logits against int32 targets */
  uint64_t seed;         /* of the initial parameters */
  PwPipelineOptimizer optimizer;
  double learning_rate;  /* 0: 0.01 for SGD, 0.001 otherwise */
  double momentum;       /* SGD */
  double weight_decay;
  gboolean sequential;   /* the reference: one thread, one stage after another; equal bits */
  gboolean no_pinning;
} PwPipelineOptions;

typedef struct PwPipeline PwPipeline;
/* STAGES ranks, one thread each, with BALANCE[i] layers on rank i; a mini-batch is cut into CHUNKS
 * micro-batches (fewer where it has fewer samples). BALANCE NULL: balanced by FLOPs. MODEL may be
 * freed afterwards. OPTIONS NULL: defaults. */
PwPipeline *pw_pipeline_new (const PwSequential *model, const int *balance, int stages, int chunks,
                             const PwPipelineOptions *options, GError **error);
void pw_pipeline_free (PwPipeline *pipeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwPipeline, pw_pipeline_free)

int64_t pw_pipeline_input_elements (const PwPipeline *pipeline);  /* per sample */
int64_t pw_pipeline_output_elements (const PwPipeline *pipeline); /* per sample, before the loss */
int64_t pw_pipeline_parameter_count (const PwPipeline *pipeline);

/* Your own loss: reads the output of SAMPLES samples from FIRST_SAMPLE on, writes its gradient, and
 * returns its part of the mini-batch's loss (for a mean: divided by the whole mini-batch). Called on
 * the last rank's thread, one micro-batch after another. */
typedef double (*PwPipelineLossFunc) (const float *output, float *gradient, int64_t first_sample,
                                      int64_t samples, gpointer data);
/* One mini-batch forward and backward under the schedule; gradients are added to. The loss is
 * TARGET's by the built-in loss (a mean over the mini-batch), or LOSS_FUNC's. *LOSS may be NULL. */
gboolean pw_pipeline_forward_backward (PwPipeline *pipeline, const void *input, int64_t samples,
                                       const void *target, PwPipelineLossFunc loss_func,
                                       gpointer data, double *loss, GError **error);

/* The user's own loop: forward gives all outputs in sample order, backward takes their gradients. */
gboolean pw_pipeline_zero_grad (PwPipeline *pipeline, GError **error);
gboolean pw_pipeline_forward (PwPipeline *pipeline, const void *input, int64_t samples,
                              float *output, GError **error);
gboolean pw_pipeline_backward (PwPipeline *pipeline, const float *output_gradient, GError **error);
gboolean pw_optimizer_step (PwPipeline *pipeline, GError **error); /* then zeroes the gradients */

/* ---- State ---- */

/* All parameters in layer order, fp32, pw_pipeline_parameter_count of them. */
gboolean pw_pipeline_get_parameters (PwPipeline *pipeline, float *parameters, GError **error);
gboolean pw_pipeline_set_parameters (PwPipeline *pipeline, const float *parameters, GError **error);
gboolean pw_pipeline_get_gradients (PwPipeline *pipeline, float *gradients, GError **error);
/* SHA-256 of the parameters in hexadecimal; equal bits give equal text. */
char *pw_pipeline_parameters_sha256 (PwPipeline *pipeline, GError **error);

/* Parameters and optimiser state in one safetensors file, keyed by layer: a state loads into a
 * pipeline of any cut, chunks and schedule, and training goes on bit for bit. Saving is atomic; a
 * file that is damaged or of another model is refused and changes nothing. */
gboolean pw_pipeline_state_save (PwPipeline *pipeline, const char *path, GError **error);
gboolean pw_pipeline_state_load (PwPipeline *pipeline, const char *path, GError **error);

/* ---- Prediction: the simulator on the same object ---- */

typedef struct {
  double iteration_time_s; /* of forward_backward and the optimiser step */
  double bubble_fraction;
  int64_t peak_memory_bytes; /* of the rank that needs most */
} PwPipelinePrediction;
/* Profiles the layers on this machine at the first call (about SECONDS; 0: 1). SAMPLES: the
 * mini-batch's. */
gboolean pw_pipeline_predict (PwPipeline *pipeline, int64_t samples, double seconds,
                              PwPipelinePrediction *prediction, GError **error);
/* What the last forward_backward took. */
double pw_pipeline_iteration_time_s (const PwPipeline *pipeline);

G_END_DECLS
