# nibble_kernel_tests: kernels/ and its tests, for a cross compiler that has no libraries but its
# own. fmt comes as headers and GoogleTest as source, both the host's.
find_package(Threads REQUIRED)
set(googletest /usr/src/googletest/googletest)
# Links, because all of /usr/include would bring the host's C library along.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/host)
file(CREATE_LINK /usr/include/fmt ${CMAKE_BINARY_DIR}/host/fmt SYMBOLIC)

list(FILTER sources INCLUDE REGEX "/src/(base|tensor|kernels)/")
list(FILTER sources EXCLUDE REGEX "/base/json\\.cc$")
list(FILTER tests INCLUDE REGEX "/src/kernels/")
add_library(nibble_kernels STATIC ${sources})
target_include_directories(nibble_kernels PUBLIC src)
target_include_directories(nibble_kernels SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/host)
target_compile_definitions(nibble_kernels PUBLIC FMT_HEADER_ONLY)
target_compile_options(nibble_kernels PUBLIC -Wall -Wextra -Wno-gnu-statement-expression
  -ffp-contract=off)
target_link_libraries(nibble_kernels PUBLIC Threads::Threads)

add_executable(nibble_kernel_tests ${tests} ${googletest}/src/gtest-all.cc
  ${googletest}/src/gtest_main.cc)
target_include_directories(nibble_kernel_tests SYSTEM PRIVATE ${googletest} ${googletest}/include)
target_link_libraries(nibble_kernel_tests PRIVATE nibble_kernels)

# Linked at fixed addresses, so that those in qemu's log are those in the file.
add_executable(nibble_arm_product bench/arm_product.cc)
target_link_libraries(nibble_arm_product PRIVATE nibble_kernels)
target_link_options(nibble_arm_product PRIVATE -static -no-pie)
