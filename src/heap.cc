// What jemalloc is told (ml_worker_heap in CMakeLists.txt): it reads this name when the program
// starts, and MALLOC_CONF after it.

extern "C" {
/// A batch's intermediate results are tens of MB. By default jemalloc gives what is that large back
/// to the system at once, and the next batch has every page of it cleared again: a tenth of the
/// time in float32, a quarter in int8. Without that they stay for the next batch, for ten seconds.
extern const char* malloc_conf;
const char* malloc_conf = "oversize_threshold:0";
}
