# Run once with a tiny size by CTest, so that it does not rot; no figure is judged there.
add_executable(bench_sim ${CMAKE_CURRENT_LIST_DIR}/bench_sim.c)
target_link_libraries(bench_sim PRIVATE pw_flags pw_sim)
add_test(NAME bench_sim COMMAND bench_sim 4 16 1)
add_executable(bench_first ${CMAKE_CURRENT_LIST_DIR}/bench_first.c)
target_link_libraries(bench_first PRIVATE pw_flags pw_sim)
add_test(NAME bench_first COMMAND bench_first 4 16 2)
