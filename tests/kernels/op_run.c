#include "tests/kernels/op_run.h"
#include "tests/kernels/op_buffer.h"
#include "tests/kernels/op_half.h"
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
draw (const OpOperand *operand, PwElement element) {
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
      value[i] = op_round (element, (float)g_test_rand_double_range (operand->low, operand->high));
    while (operand->away_from_0 && fabsf (value[i]) < 1e-3f);
  }
  return array;
}

void
op_data_init (OpData *data, const OpCase *op_case, const int64_t *size, PwElement element) {
  *data = (OpData){ .op_case = op_case, .size = size, .element = element };
  op_case->operands (size, data->inputs, data->outputs);
  for (int i = 0; i < op_case->n_inputs; i++) {
    data->in[i] = draw (&data->inputs[i], element);
    OpOperand start = data->inputs[i];
    start.low = -1;
    start.high = 1;
    if (start.gradient == OP_GRADIENT_ACCUMULATED)
      data->initial[i] = draw (&start, PW_ELEMENT_F32);
  }
  OpOperand dy = data->outputs[0];
  dy.low = -1;
  dy.high = 1;
  data->dy = draw (&dy, element);
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
tensor_init (OpBuffer *buffer, PwOpContext *context, const OpOperand *operand, PwElement element,
             gsize shift) {
  PwTensor tensor = { .element = element, .n_dims = operand->n_dims };
  memcpy (tensor.dims, operand->dims, sizeof operand->dims);
  op_buffer_init (buffer, context, (gsize)pw_tensor_bytes (&tensor), shift);
  op_buffer_fill (buffer, 0xFF);
  tensor.data = op_buffer_data (buffer);
  return tensor;
}

/* Arrays on the host are of float or int32, buffers of the tensor's type. */
static void
tensor_write (OpBuffer *buffer, const PwTensor *tensor, const GByteArray *array) {
  if (pw_tensor_bytes (tensor) == array->len) {
    op_buffer_write (buffer, array->data);
    return;
  }
  g_autoptr (GByteArray) halves = array_new (array->len / 2);
  op_halves_from_floats (tensor->element, (guint16 *)(gpointer)halves->data,
                         (const float *)(gpointer)array->data, array->len / 4);
  op_buffer_write (buffer, halves->data);
}

static GByteArray *
tensor_read (OpBuffer *buffer, const PwTensor *tensor) {
  GByteArray *array = array_new ((gsize)pw_tensor_elements (tensor) * 4);
  if (pw_tensor_bytes (tensor) == array->len) {
    op_buffer_read (buffer, array->data);
    return array;
  }
  g_autoptr (GByteArray) halves = array_new (buffer->bytes);
  op_buffer_read (buffer, halves->data);
  op_floats_from_halves (tensor->element, (float *)(gpointer)array->data,
                         (const guint16 *)(gpointer)halves->data, array->len / 4);
  return array;
}

static void
device_init (Device *device, const OpData *data, PwOpContext *context, gsize shift) {
  const OpCase *op_case = data->op_case;
  *device = (Device){ 0 };
  for (int i = 0; i < op_case->n_inputs; i++) {
    const OpOperand *input = &data->inputs[i];
    device->in_tensors[i] = tensor_init (&device->in[i], context, input,
                                         input->index ? PW_ELEMENT_I32 : data->element, shift);
    tensor_write (&device->in[i], &device->in_tensors[i], data->in[i]);
    if (op_case->gradient == NULL || input->gradient == OP_GRADIENT_NONE)
      continue;
    gboolean accumulated = input->gradient == OP_GRADIENT_ACCUMULATED;
    device->d_tensors[i] = tensor_init (&device->d[i], context, input,
                                        accumulated ? PW_ELEMENT_F32 : data->element, shift);
    if (accumulated)
      tensor_write (&device->d[i], &device->d_tensors[i], data->initial[i]);
  }
  for (int o = 0; o < op_case->n_outputs; o++) {
    const OpOperand *output = &data->outputs[o];
    if (output->kind != OP_OUTPUT_SCALAR) {
      device->out_tensors[o]
          = tensor_init (&device->out[o], context, output,
                         output->kind == OP_OUTPUT_KEPT ? PW_ELEMENT_F32 : data->element, shift);
      continue;
    }
    op_buffer_init (&device->out[o], context, sizeof (double), 0);
    op_buffer_write (&device->out[o], &data->scalar);
    device->out_tensors[o].data = op_buffer_data (&device->out[o]);
  }
  if (data->outputs[0].kind != OP_OUTPUT_SCALAR) {
    device->dy_tensor = tensor_init (&device->dy, context, &data->outputs[0], data->element, shift);
    tensor_write (&device->dy, &device->dy_tensor, data->dy);
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
assert_unchanged (OpBuffer *buffer, const PwTensor *tensor, const GByteArray *before) {
  g_autoptr (GByteArray) after = tensor_read (buffer, tensor);
  op_assert_same_bytes (after, before);
}

static void
device_read (Device *device, const OpData *data, OpResult *result) {
  const OpCase *op_case = data->op_case;
  *result = (OpResult){ 0 };
  for (int i = 0; i < op_case->n_inputs; i++) {
    assert_unchanged (&device->in[i], &device->in_tensors[i], data->in[i]);
    if (device->d[i].device == NULL)
      continue;
    result->d[i] = tensor_read (&device->d[i], &device->d_tensors[i]);
  }
  for (int o = 0; o < op_case->n_outputs; o++) {
    if (data->outputs[o].kind != OP_OUTPUT_SCALAR) {
      result->out[o] = tensor_read (&device->out[o], &device->out_tensors[o]);
      continue;
    }
    result->out[o] = array_new (sizeof (double));
    op_buffer_read (&device->out[o], result->out[o]->data);
  }
  if (device->dy.device != NULL)
    assert_unchanged (&device->dy, &device->dy_tensor, data->dy);
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
