# module(NAME [SMALL [FAST source…]] [DEPENDS module…] [LINKS target…] [TEST_DEPENDS module…])
#
# Declares the folder src/NAME as one static library; x_test.cpp beside x.cpp is
# its test. The module sees only itself and what it DEPENDS on: each module
# publishes a private include root that holds just its own folder, so an
# undeclared include does not compile. The tests of a module form one binary that
# links that module only (and TEST_DEPENDS). SMALL: what waits for disks and processes, or runs once,
# is released small rather than fast, since its pages stay resident beside the hot path's; FAST
# names what every request passes through all the same.
set(KUBIYA_ROOTS ${CMAKE_BINARY_DIR}/roots)

# text(MODULE FILE): src/MODULE/FILE.html as a string literal, "MODULE/FILE.inc" to it.
function(text MODULE FILE)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${MODULE}/${FILE}.html)
  file(READ ${source} KUBIYA_TEXT)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/text.inc.in
    ${CMAKE_BINARY_DIR}/texts/${MODULE}/${MODULE}/${FILE}.inc @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  target_include_directories(kubiya_${MODULE} PRIVATE ${CMAKE_BINARY_DIR}/texts/${MODULE})
endfunction()

function(module NAME)
  cmake_parse_arguments(M "SMALL" "" "FAST;DEPENDS;LINKS;TEST_DEPENDS" ${ARGN})
  set(dir ${CMAKE_CURRENT_SOURCE_DIR}/${NAME})
  file(MAKE_DIRECTORY ${KUBIYA_ROOTS}/${NAME})
  file(CREATE_LINK ${dir} ${KUBIYA_ROOTS}/${NAME}/${NAME} SYMBOLIC)

  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cpp$")

  if(sources)
    add_library(kubiya_${NAME} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(kubiya_${NAME} PRIVATE kubiya_options)
    precompiled(kubiya_${NAME})
    if(M_SMALL AND CMAKE_BUILD_TYPE STREQUAL "Release")
      target_compile_options(kubiya_${NAME} PRIVATE -Os)
      foreach(name ${M_FAST})
        if(NOT EXISTS ${dir}/${name}.cpp)
          message(FATAL_ERROR "module(${NAME}): FAST ${name}: there is no ${dir}/${name}.cpp")
        endif()
        set_source_files_properties(${dir}/${name}.cpp PROPERTIES COMPILE_OPTIONS -O3)
      endforeach()
    endif()
  else()
    add_library(kubiya_${NAME} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(kubiya_${NAME} ${scope} ${KUBIYA_ROOTS}/${NAME})
  foreach(dep ${M_DEPENDS})
    target_link_libraries(kubiya_${NAME} ${scope} kubiya_${dep})
  endforeach()
  target_link_libraries(kubiya_${NAME} ${scope} ${M_LINKS} tl::expected fmt::fmt Threads::Threads)

  if(KUBIYA_TESTS AND tests)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE kubiya_${NAME} kubiya_options GTest::gtest_main
      GTest::gmock)
    precompiled(${NAME}_test TESTS)
    target_include_directories(${NAME}_test PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_compile_definitions(${NAME}_test PRIVATE KUBIYA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    foreach(dep ${M_TEST_DEPENDS})
      target_link_libraries(${NAME}_test PRIVATE kubiya_${dep})
    endforeach()
    add_test(NAME unit.${NAME} COMMAND ${NAME}_test --gtest_brief=1)
    set_tests_properties(unit.${NAME} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()
