#include <glib/gstdio.h>
#include <string.h>

#include "plans/hardware.h"

static PwHardware *
read_text (const char *text, GError **error) {
  g_autoptr (PwJsonFile) json = pw_json_file_parse ("machine.json", text, error);
  g_assert_nonnull (json);
  return pw_hardware_read ((PwJsonPlace){ json, "hardware" },
                           json_object_get (json->root, "hardware"), error);
}

static void
test_catalogue (void) {
  for (const PwHardware *const *h = pw_hardware_list (); *h != NULL; h++) {
    g_assert_true (pw_hardware_get ((*h)->name) == *h);
    g_assert_cmpuint (strlen ((*h)->source), >, 20);
    g_assert_cmpfloat ((*h)->flops, >, 0);
    g_assert_cmpfloat ((*h)->flops_half, >=, (*h)->flops_tf32);
    g_assert_cmpfloat ((*h)->flops_tf32, >=, (*h)->flops);
    g_assert_cmpfloat ((*h)->efficiency, >, 0);
    g_assert_cmpfloat ((*h)->efficiency, <=, 1);
    g_assert_cmpfloat ((*h)->memory_bandwidth, >, 0);
    g_assert_cmpfloat ((*h)->link.bandwidth, >, 0);
  }
  g_assert_null (pw_hardware_get ("abacus"));
}

/* What to_json writes, the reader takes, to the last bit. */
static void
test_round_trip (void) {
  for (const PwHardware *const *h = pw_hardware_list (); *h != NULL; h++) {
    json_t *value = pw_hardware_to_json (*h);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) back
        = pw_hardware_read ((PwJsonPlace){ NULL, "hardware" }, value, &error);
    g_assert_no_error (error);
    json_decref (value);
    g_assert_cmpstr (back->name, ==, (*h)->name);
    g_assert_cmpstr (back->source, ==, (*h)->source);
    g_assert_true (back->flops == (*h)->flops && back->flops_half == (*h)->flops_half);
    g_assert_true (back->memory_bandwidth == (*h)->memory_bandwidth);
    g_assert_cmpint (back->memory_bytes, ==, (*h)->memory_bytes);
    g_assert_true (back->link.bandwidth == (*h)->link.bandwidth);
    g_assert_true (back->link.latency_s == (*h)->link.latency_s);
    g_assert_cmpint (back->link.sharing, ==, (*h)->link.sharing);
  }
}

static void
test_host_and_communication (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware
      = read_text ("{\"hardware\": {\"like\": \"a100-40g\", \"host_latency_s\": 2e-5, "
                   "\"host_bandwidth\": 5e9, \"communication_bytes\": \"8MiB\"}}",
                   &error);
  g_assert_no_error (error);
  json_t *value = pw_hardware_to_json (hardware);
  g_autoptr (PwHardware) back = pw_hardware_read ((PwJsonPlace){ NULL, "hardware" }, value, &error);
  g_assert_no_error (error);
  json_decref (value);
  g_assert_cmpfloat (back->host.latency_s, ==, 2e-5);
  g_assert_cmpfloat (back->host.bandwidth, ==, 5e9);
  g_assert_cmpint (back->communication_bytes, ==, 8 << 20);
}

static void
test_like (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware
      = read_text ("{\"hardware\": {\"name\": \"slow\", \"like\": \"a100-40g\", \"link\": "
                   "{\"sharing\": \"fair\"}, \"memory_bytes\": \"20GB\"}}",
                   &error);
  g_assert_no_error (error);
  const PwHardware *base = pw_hardware_get ("a100-40g");
  g_assert_cmpstr (hardware->name, ==, "slow");
  g_assert_true (hardware->flops == base->flops);
  g_assert_true (hardware->link.bandwidth == base->link.bandwidth);
  g_assert_cmpint (hardware->link.sharing, ==, PW_LINK_FAIR);
  g_assert_cmpint (hardware->memory_bytes, ==, G_GINT64_CONSTANT (20000000000));
}

static void
test_defaults (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware
      = read_text ("{\"hardware\": {\"flops\": 1e12, \"memory_bandwidth\": 1e11}}", &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (hardware->efficiency, ==, 0.5);
  g_assert_cmpfloat (hardware->flops_half, ==, 1e12);
  g_assert_cmpint (hardware->memory_bytes, ==, 0);
}

static void
test_file (void) {
  g_autofree char *folder = g_dir_make_tmp ("pw-hardware-XXXXXX", NULL);
  g_autofree char *machine = g_build_filename (folder, "machine.json", NULL);
  g_autofree char *plan = g_build_filename (folder, "plan.json", NULL);
  g_assert_true (
      g_file_set_contents (machine, "{\"like\": \"h200\", \"efficiency\": 0.25}", -1, NULL));
  g_autoptr (GError) error = NULL;
  g_autoptr (PwJsonFile) json
      = pw_json_file_parse (plan, "{\"hardware\": \"machine.json\"}", &error);
  g_autoptr (PwHardware) hardware = pw_hardware_read (
      (PwJsonPlace){ json, "hardware" }, json_object_get (json->root, "hardware"), &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (hardware->efficiency, ==, 0.25);
  g_assert_cmpstr (hardware->name, ==, "h200");
  g_remove (machine);
  g_autoptr (PwHardware) gone = pw_hardware_read ((PwJsonPlace){ json, "hardware" },
                                                  json_object_get (json->root, "hardware"), &error);
  g_assert_null (gone);
  g_assert_nonnull (strstr (error->message, "plan.json:1: hardware: "));
  g_rmdir (folder);
}

static const struct {
  const char *text;
  PwJsonError code;
  const char *message;
} bad[] = {
  { "{\"hardware\":\n\"v100-32g-sxn\"}", PW_JSON_ERROR_RANGE,
    "machine.json:1: hardware: no hardware is named \"v100-32g-sxn\", did you mean "
    "\"v100-32g-sxm\"?" },
  { "{\"hardware\": 3}", PW_JSON_ERROR_TYPE, "hardware: expected a name, a file or an object" },
  { "{\"hardware\": {\n \"like\": \"h300\"}}", PW_JSON_ERROR_RANGE,
    "machine.json:2: hardware.like: no hardware is named \"h300\"" },
  { "{\"hardware\": {\"flops\": 1e12}}", PW_JSON_ERROR_MISSING_KEY,
    "hardware: missing key \"memory_bandwidth\"" },
  { "{\"hardware\": {\"like\": \"h200\",\n\"efficiency\": 1.5}}", PW_JSON_ERROR_RANGE,
    "machine.json:2: hardware.efficiency: 1.5 is above the maximum 1" },
  { "{\"hardware\": {\"like\": \"h200\",\n\"flop\": 1}}", PW_JSON_ERROR_UNKNOWN_KEY,
    "machine.json:2: hardware.flop: unknown key, did you mean \"flops\"?" },
  { "{\"hardware\": {\"like\": \"h200\", \"link\": {\n\"sharing\": \"farr\"}}}",
    PW_JSON_ERROR_RANGE, "machine.json:2: hardware.link.sharing: unknown \"farr\"" },
  { "{\"hardware\": {\"like\": \"h200\", \"rates\": {\"fp8\": []}}}", PW_JSON_ERROR_UNKNOWN_KEY,
    "hardware.rates.fp8: unknown key" },
  { "{\"hardware\": {\"like\": \"h200\", \"rates\": {\"bf16\": []}}}", PW_JSON_ERROR_TYPE,
    "hardware.rates.bf16: expected a list of {\"flops\", \"rate\"}" },
  { "{\"hardware\": {\"like\": \"h200\", \"rates\": {\"bf16\": [{\"flops\": 1}]}}}",
    PW_JSON_ERROR_MISSING_KEY, "hardware.rates.bf16[0]" },
  { "{\"hardware\": {\"like\": \"h200\", \"memory_rates\": [{\"bytes\": 8, \"bandwidth\": 1},\n"
    "{\"bytes\": 8, \"bandwidth\": 2}]}}",
    PW_JSON_ERROR_RANGE,
    "machine.json:2: hardware.memory_rates[1]: rows stand in ascending order of \"bytes\"" },
  { "{\"hardware\": {\"like\": \"h200\", \"messages\": {\"one_way\": [{\"bytes\": 8, "
    "\"bandwidth\": 0}]}}}",
    PW_JSON_ERROR_RANGE, "hardware.messages.one_way[0].bandwidth: 0 is below the minimum" },
  { "{\"hardware\": {\"like\": \"h200\", \"copies\": {\"on_device\": 3}}}", PW_JSON_ERROR_TYPE,
    "hardware.copies.on_device: expected a list" },
  { "{\"hardware\": {\"like\": \"h200\", \"link\": {\"latency_s\": -1}}}", PW_JSON_ERROR_RANGE,
    "hardware.link.latency_s: -1 is below the minimum 0" },
};

static void
test_bad (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = read_text (bad[i].text, &error);
    g_test_message ("%s", bad[i].text);
    g_assert_null (hardware);
    g_assert_error (error, PW_JSON_ERROR, (int)bad[i].code);
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, bad[i].message));
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plans/hardware/catalogue-is-complete-and-sourced", test_catalogue);
  g_test_add_func ("/plans/hardware/json-round-trips", test_round_trip);
  g_test_add_func ("/plans/hardware/host-and-communication-round-trip",
                   test_host_and_communication);
  g_test_add_func ("/plans/hardware/like-starts-from-the-catalogue", test_like);
  g_test_add_func ("/plans/hardware/two-figures-are-enough", test_defaults);
  g_test_add_func ("/plans/hardware/file-is-relative-to-the-plan", test_file);
  g_test_add_func ("/plans/hardware/bad-ones-name-place-and-cause", test_bad);
  return g_test_run ();
}
