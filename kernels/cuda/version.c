/* What the loader holds against the program's own version (kernels/module.c). */
extern const char pw_cuda_module_version[];
const char pw_cuda_module_version[] = PW_VERSION;
