/* Vendors' peaks without sparsity; `efficiency` is what turns them into something large matrix
 * products reach. Latencies are not in data sheets: they are the usual time of a small message
 * through the vendor's library. docs/hardware.md has the sources. Links are each queue's own; a
 * plan that wants them shared says so: {"like": "h100-80g-ib", "link": {"sharing": "fcfs"}}. */
#include "plans/plan_private.h"

#define NVLINK_LATENCY_S 5e-6
#define NETWORK_LATENCY_S 10e-6
#define HOST_LATENCY_S 10e-6 /* of a copy through the runtime; its rate is PCIe's, one way */

const PwHardware pw__hardware_catalogue[] = {
  {
      .name = "cpu-core-fp32",
      .source = "arithmetic: one core with two 512-bit FMA units at 3 GHz; messages are copies in "
                "memory; profile measures the real ones",
      .flops = 192e9,
      .flops_tf32 = 192e9,
      .flops_half = 192e9,
      .efficiency = 0.5,
      .memory_bandwidth = 12e9,
      .link = { .latency_s = 2e-6, .bandwidth = 8e9 },
  },
  {
      .name = "v100-32g-sxm",
      .source = "NVIDIA V100 data sheet (SXM2): fp32 15.7, fp16 125 TFLOP/s, HBM2 900 GB/s; two of "
                "six NVLink 2 links (25 GB/s each way) between neighbours, as in a DGX-1",
      .flops = 15.7e12,
      .flops_tf32 = 15.7e12,
      .flops_half = 125e12,
      .efficiency = 0.5,
      .memory_bandwidth = 900e9,
      .memory_bytes = INT64_C (32000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 16e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 50e9 },
  },
  {
      .name = "v100-32g-ib",
      .source
      = "NVIDIA V100 data sheet (SXM2); one EDR InfiniBand port (100 Gbit/s) per GPU between "
        "neighbours",
      .flops = 15.7e12,
      .flops_tf32 = 15.7e12,
      .flops_half = 125e12,
      .efficiency = 0.5,
      .memory_bandwidth = 900e9,
      .memory_bytes = INT64_C (32000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 16e9 },
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 12.5e9 },
  },
  {
      .name = "a100-40g",
      .source = "NVIDIA A100 data sheet (SXM4 40 GB): fp32 19.5, tf32 156, bf16 312 TFLOP/s, "
                "HBM2 1555 GB/s, NVLink 3 600 GB/s both ways together, through NVSwitch",
      .flops = 19.5e12,
      .flops_tf32 = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 1555e9,
      .memory_bytes = INT64_C (40000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 32e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 300e9 },
  },
  {
      .name = "a100-80g",
      .source = "NVIDIA A100 data sheet (SXM4 80 GB): fp32 19.5, tf32 156, bf16 312 TFLOP/s, "
                "HBM2e 2039 GB/s, NVLink 3 600 GB/s both ways together, through NVSwitch",
      .flops = 19.5e12,
      .flops_tf32 = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 2039e9,
      .memory_bytes = INT64_C (80000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 32e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 300e9 },
  },
  {
      .name = "a100-80g-pcie",
      .source = "NVIDIA A100 data sheet (PCIe 80 GB): fp32 19.5, tf32 156, bf16 312 TFLOP/s, "
                "HBM2e 1935 GB/s, PCIe 4.0 x16 64 GB/s both ways together",
      .flops = 19.5e12,
      .flops_tf32 = 156e12,
      .flops_half = 312e12,
      .efficiency = 0.5,
      .memory_bandwidth = 1935e9,
      .memory_bytes = INT64_C (80000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 32e9 },
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 32e9 },
  },
  {
      .name = "h100-80g-sxm",
      .source
      = "NVIDIA H100 data sheet and white paper (SXM5): fp32 66.9, tf32 494.7, bf16 989.4 TFLOP/s "
        "without sparsity, HBM3 3.35 TB/s, NVLink 4 900 GB/s both ways together",
      .flops = 66.9e12,
      .flops_tf32 = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 3350e9,
      .memory_bytes = INT64_C (80000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 64e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 450e9 },
  },
  {
      .name = "h100-80g-ib",
      .source = "NVIDIA H100 data sheet and white paper (SXM5); one NDR InfiniBand port (400 "
                "Gbit/s) per GPU between "
                "neighbours, as in a DGX H100",
      .flops = 66.9e12,
      .flops_tf32 = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 3350e9,
      .memory_bytes = INT64_C (80000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 64e9 },
      .link = { .latency_s = NETWORK_LATENCY_S, .bandwidth = 50e9 },
  },
  {
      .name = "h200",
      .source
      = "NVIDIA H200 data sheet (SXM), products as the H100's: fp32 66.9, tf32 494.7, bf16 989.4 "
        "TFLOP/s without sparsity, 141 GB HBM3e 4.8 TB/s, NVLink 4 900 GB/s both ways together",
      .flops = 66.9e12,
      .flops_tf32 = 494.7e12,
      .flops_half = 989.4e12,
      .efficiency = 0.5,
      .memory_bandwidth = 4800e9,
      .memory_bytes = INT64_C (141000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 64e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 450e9 },
  },
  {
      .name = "b200",
      .source
      = "NVIDIA Blackwell data sheet, HGX B200's single GPU: fp32 75 TFLOP/s, tf32 1.1, bf16 2.25 "
        "PFLOP/s, the latter half of the figures with sparsity, 180 GB HBM3e 7.7 TB/s, NVLink 5 "
        "1.8 TB/s both ways "
        "together",
      .flops = 75e12,
      .flops_tf32 = 1.1e15,
      .flops_half = 2.25e15,
      .efficiency = 0.5,
      .memory_bandwidth = 7700e9,
      .memory_bytes = INT64_C (180000000000),
      .host = { .latency_s = HOST_LATENCY_S, .bandwidth = 64e9 },
      .link = { .latency_s = NVLINK_LATENCY_S, .bandwidth = 900e9 },
  },
};
const gsize pw__hardware_catalogue_n = G_N_ELEMENTS (pw__hardware_catalogue);
