#include "tests/device/planted/planted.h"
const PlantedCase planted_nccl_cases[] = {
  { NULL, NULL },
};
