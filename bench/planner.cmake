# Run once with a tiny size by CTest, so that it does not rot; no figure is judged there.
add_executable(bench_plan ${CMAKE_CURRENT_LIST_DIR}/bench_plan.c)
target_link_libraries(bench_plan PRIVATE pw_flags pw_sim)
add_test(NAME bench_plan COMMAND bench_plan 4 8 1)
