# Run once with a tiny size by CTest, so that they do not rot; no figure is judged there.
add_executable(bench_trace_read ${CMAKE_CURRENT_LIST_DIR}/bench_trace_read.c)
target_link_libraries(bench_trace_read PRIVATE pw_flags pw_traces)
add_test(NAME bench_trace_read COMMAND bench_trace_read 1000)
