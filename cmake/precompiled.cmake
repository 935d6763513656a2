# Clang reads the library headers that nearly every file includes once instead of each time, which
# halves a build with sanitizers (KUBIYA_PCH; with GCC 12 nothing is gained). The modules share one
# set of flags and so one set of headers; programs, which are not position independent in the same
# way, share another, with GoogleTest in it.
if(NOT KUBIYA_PCH)
  function(precompiled TARGET)
  endfunction()
  return()
endif()

set(headers
  <algorithm> <array> <chrono> <cstdint> <filesystem> <functional> <map> <memory> <mutex>
  <optional> <string> <string_view> <thread> <unordered_map> <utility> <vector>
  <boost/json/array.hpp> <boost/json/object.hpp> <boost/json/value.hpp>
  <fmt/format.h> <tl/expected.hpp>)

add_library(kubiya_headers STATIC ${CMAKE_SOURCE_DIR}/cmake/empty.cpp)
target_link_libraries(kubiya_headers
  PRIVATE kubiya_options Boost::headers tl::expected fmt::fmt Threads::Threads)
target_precompile_headers(kubiya_headers PRIVATE ${headers})

if(KUBIYA_TESTS)
  add_executable(kubiya_test_headers EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/cmake/empty.cpp)
  target_link_libraries(kubiya_test_headers PRIVATE kubiya_options Boost::headers tl::expected
    fmt::fmt Threads::Threads GTest::gtest_main GTest::gmock)
  target_precompile_headers(kubiya_test_headers PRIVATE ${headers} <gmock/gmock.h> <gtest/gtest.h>)
endif()

# precompiled(TARGET [TESTS]): TARGET is a module, or with TESTS the program of its tests.
function(precompiled TARGET)
  if("TESTS" IN_LIST ARGN)
    target_precompile_headers(${TARGET} REUSE_FROM kubiya_test_headers)
  else()
    target_precompile_headers(${TARGET} REUSE_FROM kubiya_headers)
  endif()
endfunction()
