#include "tests/kernels/op_run.h"
#include "tests/kernels/op_buffer.h"
#include <math.h>
#include <string.h>

void
op_context_init (PwOpContext *context, const OpTarget *target) {
  GError *error = NULL;
  *context = (PwOpContext){ .backend = target->backend, .layer = 7, .microbatch = 3 };
  context->stream = target->backend->stream_new (0, &error);
  g_assert_no_error (error);
  if (target->prepare != NULL)
    target->prepare (context->stream, target->variant);
}

void
op_context_clear (PwOpContext *context) {
  context->backend->stream_free (context->stream);
}

int64_t
op_operand_elements (const OpOperand *operand) {
  int64_t n = 1;
  for (int d = 0; d < operand->n_dims; d++)
    n *= operand->dims[d];
  return n;
}

static GByteArray *
array_new (gsize bytes) {
  GByteArray *array = g_byte_array_sized_new ((guint)bytes);
  return g_byte_array_set_size (array, (guint)bytes);
}

static GByteArray *
draw (const OpOperand *operand) {
  int64_t n = op_operand_elements (operand);
  GByteArray *array = array_new ((gsize)n * 4);
  float *value = (float *)(gpointer)array->data;
  int32_t *index = (int32_t *)(gpointer)array->data;
  for (int64_t i = 0; i < n; i++) {
    if (operand->index) {
      index[i] = g_test_rand_int_range ((int32_t)operand->low, (int32_t)operand->high);
      continue;
    }
    do
      value[i] = (float)g_test_rand_double_range (operand->low, operand->high);
    while (operand->away_from_0 && fabsf (value[i]) < 1e-3f);
  }
  return array;
}

void
op_data_init (OpData *data, const OpCase *op_case, const int64_t *size) {
  *data = (OpData){ .op_case = op_case, .size = size };
  op_case->operands (size, data->inputs, data->outputs);
  for (int i = 0; i < op_case->n_inputs; i++) {
    data->in[i] = draw (&data->inputs[i]);
    OpOperand start = data->inputs[i];
    start.low = -1;
    start.high = 1;
    if (start.gradient == OP_GRADIENT_ACCUMULATED)
      data->initial[i] = draw (&start);
  }
  OpOperand dy = data->outputs[0];
  dy.low = -1;
  dy.high = 1;
  data->dy = draw (&dy);
  data->scalar = g_test_rand_double_range (-1, 1);
}

static void
arrays_clear (GByteArray **arrays) {
  for (int i = 0; i < OP_OPERANDS_MAX; i++)
    if (arrays[i] != NULL)
      g_byte_array_unref (arrays[i]);
}

void
op_data_clear (OpData *data) {
  arrays_clear (data->in);
  arrays_clear (data->initial);
  g_byte_array_unref (data->dy);
}

void
op_result_clear (OpResult *result) {
  arrays_clear (result->out);
  arrays_clear (result->d);
}

/* The device side of one run. */
typedef struct {
  OpBuffer in[OP_OPERANDS_MAX], out[OP_OPERANDS_MAX], d[OP_OPERANDS_MAX], dy, workspace;
  PwTensor in_tensors[OP_OPERANDS_MAX], out_tensors[OP_OPERANDS_MAX], d_tensors[OP_OPERANDS_MAX];
  PwTensor dy_tensor;
} Device;

static PwTensor
tensor_of (const OpOperand *operand, const OpBuffer *buffer) {
  PwTensor tensor = { .data = op_buffer_data (buffer),
                      .element = operand->index ? PW_ELEMENT_I32 : PW_ELEMENT_F32,
                      .n_dims = operand->n_dims };
  memcpy (tensor.dims, operand->dims, sizeof operand->dims);
  return tensor;
}

static void
device_init (Device *device, const OpData *data, PwOpContext *context, gsize shift) {
  const OpCase *op_case = data->op_case;
  *device = (Device){ 0 };
  for (int i = 0; i < op_case->n_inputs; i++) {
    gsize bytes = data->in[i]->len;
    op_buffer_init (&device->in[i], context, bytes, shift);
    op_buffer_write (&device->in[i], data->in[i]->data);
    device->in_tensors[i] = tensor_of (&data->inputs[i], &device->in[i]);
    if (op_case->gradient == NULL || data->inputs[i].gradient == OP_GRADIENT_NONE)
      continue;
    op_buffer_init (&device->d[i], context, bytes, shift);
    op_buffer_fill (&device->d[i], 0xFF);
    if (data->initial[i] != NULL)
      op_buffer_write (&device->d[i], data->initial[i]->data);
    device->d_tensors[i] = tensor_of (&data->inputs[i], &device->d[i]);
  }
  for (int o = 0; o < op_case->n_outputs; o++) {
    gboolean scalar = data->outputs[o].kind == OP_OUTPUT_SCALAR;
    gsize bytes = scalar ? sizeof (double) : (gsize)op_operand_elements (&data->outputs[o]) * 4;
    op_buffer_init (&device->out[o], context, bytes, scalar ? 0 : shift);
    op_buffer_fill (&device->out[o], 0xFF);
    if (scalar)
      op_buffer_write (&device->out[o], &data->scalar);
    device->out_tensors[o] = tensor_of (&data->outputs[o], &device->out[o]);
  }
  if (data->outputs[0].kind != OP_OUTPUT_SCALAR) {
    op_buffer_init (&device->dy, context, data->dy->len, shift);
    op_buffer_write (&device->dy, data->dy->data);
    device->dy_tensor = tensor_of (&data->outputs[0], &device->dy);
  }
  gsize bytes = op_case->workspace == NULL ? 0 : op_case->workspace (context, data->size);
  op_buffer_init (&device->workspace, context, bytes, 0);
  op_buffer_fill (&device->workspace, 0xFF);
}

static void
device_clear (Device *device) {
  for (int i = 0; i < OP_OPERANDS_MAX; i++) {
    op_buffer_clear (&device->in[i]);
    op_buffer_clear (&device->out[i]);
    op_buffer_clear (&device->d[i]);
  }
  op_buffer_clear (&device->dy);
  op_buffer_clear (&device->workspace);
}

void
op_assert_same_bytes (const GByteArray *a, const GByteArray *b) {
  g_assert_cmpuint (a->len, ==, b->len);
  g_assert_cmpint (memcmp (a->data, b->data, a->len), ==, 0);
}

static void
assert_unchanged (OpBuffer *buffer, const GByteArray *before) {
  g_autoptr (GByteArray) after = array_new (before->len);
  op_buffer_read (buffer, after->data);
  op_assert_same_bytes (after, before);
}

static void
device_read (Device *device, const OpData *data, OpResult *result) {
  const OpCase *op_case = data->op_case;
  *result = (OpResult){ 0 };
  for (int i = 0; i < op_case->n_inputs; i++) {
    assert_unchanged (&device->in[i], data->in[i]);
    if (device->d[i].device == NULL)
      continue;
    result->d[i] = array_new (device->d[i].bytes);
    op_buffer_read (&device->d[i], result->d[i]->data);
  }
  for (int o = 0; o < op_case->n_outputs; o++) {
    result->out[o] = array_new (device->out[o].bytes);
    op_buffer_read (&device->out[o], result->out[o]->data);
  }
  if (device->dy.device != NULL)
    assert_unchanged (&device->dy, data->dy);
  op_buffer_read (&device->workspace, NULL);
}

void
op_run (const OpData *data, const OpTarget *target, gsize shift, OpResult *result) {
  const OpCase *op_case = data->op_case;
  GError *error = NULL;
  PwOpContext context;
  Device device;
  op_context_init (&context, target);
  device_init (&device, data, &context, shift);
  PwWorkspace workspace
      = { .data = op_buffer_data (&device.workspace), .bytes = device.workspace.bytes };
  gboolean done = op_case->forward (&context, data->size, device.in_tensors, device.out_tensors,
                                    workspace, &error);
  g_assert_no_error (error);
  g_assert_true (done);
  if (op_case->gradient != NULL) {
    op_buffer_fill (&device.workspace, 0xFF);
    done = op_case->gradient (&context, data->size, device.in_tensors, device.out_tensors,
                              &device.dy_tensor, device.d_tensors, workspace, &error);
    g_assert_no_error (error);
    g_assert_true (done);
  }
  device_read (&device, data, result);
  device_clear (&device);
  op_context_clear (&context);
}
