# MPI as one way for processes to find each other; TCP is always there.
option(PW_MPI "Processes that mpirun starts find each other over MPI" OFF)
if(PW_MPI)
  find_package(MPI REQUIRED COMPONENTS C)
  set_source_files_properties("${CMAKE_CURRENT_LIST_DIR}/bootstrap_mpi.c"
    PROPERTIES COMPILE_DEFINITIONS PW_MPI)
  target_link_libraries(pw_exec PUBLIC MPI::MPI_C)
endif()
target_sources(pw_exec PRIVATE
  bootstrap.c bootstrap_mpi.c bootstrap_socket.c bootstrap_tcp.c)
