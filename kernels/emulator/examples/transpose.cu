// Transposing a matrix, five times: the example of docs/emulator.md. Nothing in it knows about the emulator.
//   transpose VERSION      1 naive, 2 tiles with a missing barrier, 3 tiles, 4 tiles without bank conflicts,
//                          5 four elements a thread
// Prints whether the result is right; exit status 1 if it is not or a CUDA call failed.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int kTile = 32;
constexpr int kRows = 8;  // of threads in a block of version 5

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::printf("%s: %s\n", call, cudaGetErrorString(status));
  std::exit(1);
}
#define CHECK(call) check((call), #call)

// y[c][r] = x[r][c]. A warp reads 32 neighbours of a row and writes them into 32 rows.
__global__ void transpose_naive(float* y, const float* x, int rows, int columns) {
  const int c = blockIdx.x * kTile + threadIdx.x;
  const int r = blockIdx.y * kTile + threadIdx.y;
  if (r < rows && c < columns) y[c * rows + r] = x[r * columns + c];
}

// A block brings a tile into shared memory and writes it out the other way round: reads and writes are of neighbours.
__global__ void transpose_racy(float* y, const float* x, int rows, int columns) {
  __shared__ float tile[kTile][kTile];
  const int c = blockIdx.x * kTile + threadIdx.x, r = blockIdx.y * kTile + threadIdx.y;
  if (r < rows && c < columns) tile[threadIdx.y][threadIdx.x] = x[r * columns + c];
  const int to_r = blockIdx.x * kTile + threadIdx.y, to_c = blockIdx.y * kTile + threadIdx.x;
  if (to_r < columns && to_c < rows) y[to_r * rows + to_c] = tile[threadIdx.x][threadIdx.y];
}

__global__ void transpose_tiles(float* y, const float* x, int rows, int columns) {
  __shared__ float tile[kTile][kTile];
  const int c = blockIdx.x * kTile + threadIdx.x, r = blockIdx.y * kTile + threadIdx.y;
  if (r < rows && c < columns) tile[threadIdx.y][threadIdx.x] = x[r * columns + c];
  __syncthreads();
  const int to_r = blockIdx.x * kTile + threadIdx.y, to_c = blockIdx.y * kTile + threadIdx.x;
  if (to_r < columns && to_c < rows) y[to_r * rows + to_c] = tile[threadIdx.x][threadIdx.y];
}

// Rows of 33 floats: the 32 elements of a column are in 32 different banks.
__global__ void transpose_padded(float* y, const float* x, int rows, int columns) {
  __shared__ float tile[kTile][kTile + 1];
  const int c = blockIdx.x * kTile + threadIdx.x, r = blockIdx.y * kTile + threadIdx.y;
  if (r < rows && c < columns) tile[threadIdx.y][threadIdx.x] = x[r * columns + c];
  __syncthreads();
  const int to_r = blockIdx.x * kTile + threadIdx.y, to_c = blockIdx.y * kTile + threadIdx.x;
  if (to_r < columns && to_c < rows) y[to_r * rows + to_c] = tile[threadIdx.x][threadIdx.y];
}

// A thread moves four elements of a column: indices are computed once for four of them.
__global__ void transpose_four(float* y, const float* x, int rows, int columns) {
  __shared__ float tile[kTile][kTile + 1];
  const int c = blockIdx.x * kTile + threadIdx.x, r = blockIdx.y * kTile + threadIdx.y;
  for (int i = 0; i < kTile; i += kRows)
    if (r + i < rows && c < columns) tile[threadIdx.y + i][threadIdx.x] = x[(r + i) * columns + c];
  __syncthreads();
  const int to_r = blockIdx.x * kTile + threadIdx.y, to_c = blockIdx.y * kTile + threadIdx.x;
  for (int i = 0; i < kTile; i += kRows)
    if (to_r + i < columns && to_c < rows) y[(to_r + i) * rows + to_c] = tile[threadIdx.x][threadIdx.y + i];
}

int main(int argc, char** argv) {
  const int version = argc == 2 ? std::atoi(argv[1]) : 0;
  if (version < 1 || version > 5) {
    std::printf("usage: transpose VERSION, 1 to 5\n");
    return 1;
  }
  constexpr int kMatrixRows = 256, kColumns = 512;
  std::vector<float> x(kMatrixRows * kColumns), y(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);

  float *device_x = nullptr, *device_y = nullptr;
  CHECK(cudaMalloc(&device_x, x.size() * sizeof(float)));
  CHECK(cudaMalloc(&device_y, y.size() * sizeof(float)));
  CHECK(cudaMemcpy(device_x, x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice));

  const dim3 grid((kColumns + kTile - 1) / kTile, (kMatrixRows + kTile - 1) / kTile);
  const dim3 block(kTile, version == 5 ? kRows : kTile);
  const auto kernel = version == 1   ? transpose_naive
                      : version == 2 ? transpose_racy
                      : version == 3 ? transpose_tiles
                      : version == 4 ? transpose_padded
                                     : transpose_four;
  kernel<<<grid, block>>>(device_y, device_x, kMatrixRows, kColumns);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(y.data(), device_y, y.size() * sizeof(float), cudaMemcpyDeviceToHost));

  int wrong = 0;
  for (int r = 0; r < kMatrixRows; ++r)
    for (int c = 0; c < kColumns; ++c) wrong += y[c * kMatrixRows + r] != x[r * kColumns + c];
  std::printf("version %d: %d of %zu elements are wrong\n", version, wrong, x.size());
  CHECK(cudaFree(device_x));
  CHECK(cudaFree(device_y));
  return wrong > 0;
}
