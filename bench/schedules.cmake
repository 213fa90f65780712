# Run once with a tiny size by CTest, so that it does not rot; no figure is judged there.
add_executable(bench_check ${CMAKE_CURRENT_LIST_DIR}/bench_check.c)
target_link_libraries(bench_check PRIVATE pw_flags pw_schedules)
add_test(NAME bench_check COMMAND bench_check 4 16 1)
