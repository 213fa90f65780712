/* What the files of the fake cuDNN share. A descriptor is a store of attributes; a finalised
 * operation graph becomes a Graph, which cudnn_run.cpp evaluates node by node on the host, reading
 * strides as they are given: a wrong edge, mode or stride gives wrong numbers. */
#pragma once
#include <cudnn_graph.h>

#include <map>
#include <memory>
#include <vector>

namespace cudnn {

struct Tensor {
  int64_t id = 0;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::vector<int64_t> dims, strides;
  bool is_virtual = false, by_value = false;
  long elements () const {
    long n = 1;
    for (int64_t dim : dims)
      n *= dim;
    return n;
  }
};

struct Node {
  cudnnBackendDescriptorType_t operation;
  int mode = 0; /* cudnnPointwiseMode_t or cudnnReduceTensorOp_t */
  int64_t axis = 0;
  Tensor x, b, t, y;
  bool has_b = false, has_t = false;
};

struct Graph {
  std::vector<Node> nodes;
};

/* What an execution needs: all of it, since the descriptors may be gone when the stream gets to it.
 * Numbers by value are copied when it is enqueued. */
struct Execution {
  std::shared_ptr<const Graph> graph;
  std::map<int64_t, void *> pointers;
  std::map<int64_t, float> numbers;
  char *workspace = nullptr;
  size_t workspace_bytes = 0;
};

size_t element_bytes (cudnnDataType_t type);
/* NULL, or why the graph is wrong: shapes that do not fit, a tensor that is read before it is made.
 */
const char *check (const Graph &graph);
void run (const Execution &execution);

} // namespace cudnn
