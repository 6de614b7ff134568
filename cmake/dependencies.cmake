# Third-party libraries. Each is used by one .cpp file or one folder only; see docs/design/base.md.
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)

find_path(TRIREME_XXHASH_INCLUDE xxhash.h REQUIRED)
find_library(TRIREME_XXHASH_LIBRARY xxhash REQUIRED)
add_library(trireme_xxhash INTERFACE)
target_include_directories(trireme_xxhash SYSTEM INTERFACE ${TRIREME_XXHASH_INCLUDE})
target_link_libraries(trireme_xxhash INTERFACE ${TRIREME_XXHASH_LIBRARY})

find_path(TRIREME_PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(TRIREME_PCRE2_LIBRARY pcre2-8 REQUIRED)
add_library(trireme_pcre2 INTERFACE)
target_include_directories(trireme_pcre2 SYSTEM INTERFACE ${TRIREME_PCRE2_INCLUDE})
target_link_libraries(trireme_pcre2 INTERFACE ${TRIREME_PCRE2_LIBRARY})

find_path(TRIREME_CBLAS_INCLUDE cblas.h PATH_SUFFIXES x86_64-linux-gnu/openblas-pthread openblas-pthread openblas REQUIRED)
find_library(TRIREME_OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-pthread REQUIRED)
add_library(trireme_blas INTERFACE)
target_include_directories(trireme_blas SYSTEM INTERFACE ${TRIREME_CBLAS_INCLUDE})
target_link_libraries(trireme_blas INTERFACE ${TRIREME_OPENBLAS_LIBRARY})

find_path(TRIREME_HIGHWAY_INCLUDE hwy/highway.h REQUIRED)
find_library(TRIREME_HIGHWAY_LIBRARY hwy REQUIRED)
add_library(trireme_highway INTERFACE)
target_include_directories(trireme_highway SYSTEM INTERFACE ${TRIREME_HIGHWAY_INCLUDE})
target_link_libraries(trireme_highway INTERFACE ${TRIREME_HIGHWAY_LIBRARY})

if(TRIREME_CUDA)
  find_package(CUDAToolkit 12.4 REQUIRED)
endif()
