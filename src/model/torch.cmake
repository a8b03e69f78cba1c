# libtorch from PyPI's torch wheel as two imported targets. find_package(Torch) asks for a CUDA
# toolkit when the wheel was built with CUDA, which a CPU machine has not; these need none.
if(NOT EXISTS ${ML_WORKER_TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No libtorch in ${ML_WORKER_TORCH_DIR}: run scripts/setup first")
endif()
foreach(lib c10 torch_cpu)
  add_library(${lib} SHARED IMPORTED)
  set_target_properties(${lib} PROPERTIES
    IMPORTED_LOCATION ${ML_WORKER_TORCH_DIR}/lib/lib${lib}.so
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${ML_WORKER_TORCH_DIR}/include;${ML_WORKER_TORCH_DIR}/include/torch/csrc/api/include")
endforeach()
set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_LIBRARIES c10)
# The wheel's libraries find their siblings (nvidia/…) by RPATH; the linker need not check them.
set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_OPTIONS
  "LINKER:--allow-shlib-undefined" "LINKER:-rpath,${ML_WORKER_TORCH_DIR}/lib")
