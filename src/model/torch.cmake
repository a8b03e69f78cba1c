# libtorch from PyPI's torch wheel as two imported targets. find_package(Torch) asks for a CUDA
# toolkit when the wheel was built with CUDA, which a CPU machine has not; these need none.
if(NOT EXISTS ${ML_WORKER_TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No libtorch in ${ML_WORKER_TORCH_DIR}: run scripts/setup first")
endif()
foreach(lib c10 torch_cpu c10_cuda torch_cuda)
  add_library(${lib} SHARED IMPORTED GLOBAL)
  set_target_properties(${lib} PROPERTIES
    IMPORTED_LOCATION ${ML_WORKER_TORCH_DIR}/lib/lib${lib}.so
    # The wheel carries headers of its own fmt, which must not hide the system's.
    INTERFACE_COMPILE_OPTIONS "SHELL:-idirafter ${ML_WORKER_TORCH_DIR}/include")
endforeach()
set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_LIBRARIES c10)
set_property(TARGET torch_cuda PROPERTY INTERFACE_LINK_LIBRARIES c10_cuda torch_cpu)
# CUDA's own headers: the runtime's come with libtorch, those that they include in a wheel of their
# own. The libraries are not linked to: libtorch's CUDA part brings those that it needs.
cmake_path(GET ML_WORKER_TORCH_DIR PARENT_PATH ML_WORKER_WHEELS)
foreach(folder ${ML_WORKER_WHEELS}/nvidia/cu13/include ${ML_WORKER_CUDA_HEADERS})
  set_property(TARGET c10_cuda APPEND PROPERTY
               INTERFACE_COMPILE_OPTIONS "SHELL:-idirafter ${folder}")
endforeach()
# The wheel's libraries find their siblings (nvidia/…) by their own RPATH; the linker need not check
# them.
set_property(TARGET torch_cpu PROPERTY INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined")
# In the build tree CMake adds the RPATH itself. An installed program looks beside itself first
# (torch/ and nvidia/ in lib/ml_worker), then where the checkout has it.
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib/ml_worker/torch/lib;${ML_WORKER_TORCH_DIR}/lib")
