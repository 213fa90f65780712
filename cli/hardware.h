/* A machine's figures for people. */
#pragma once
#include "plans/hardware.h"

void pw_hardware_print (const PwHardware *hardware);
