# Compiler and linker settings shared by every target.
add_library(kubiya_options INTERFACE)
target_compile_options(kubiya_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror=switch
  -fno-strict-aliasing -fstack-protector-strong)
target_compile_definitions(kubiya_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_STD_INVOKE_RESULT
  KUBIYA_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12's std::stable_sort calls what it deprecates itself.
  target_compile_options(kubiya_options INTERFACE -Wno-deprecated-declarations)
endif()
if(KUBIYA_WERROR)
  target_compile_options(kubiya_options INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(kubiya_options INTERFACE _FORTIFY_SOURCE=2)
  # What nothing calls is left out: it would be resident all the same, page by page.
  target_compile_options(kubiya_options INTERFACE -ffunction-sections -fdata-sections)
  target_link_options(kubiya_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--gc-sections)
  # GCC 12 warns of impossible sizes and values in its own string and in fmt once it inlines them at -O3.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(kubiya_options INTERFACE -Wno-restrict -Wno-stringop-overflow
      -Wno-maybe-uninitialized)
  endif()
endif()
if(KUBIYA_SANITIZE)
  target_compile_options(kubiya_options INTERFACE
    -fsanitize=${KUBIYA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(kubiya_options INTERFACE -fsanitize=${KUBIYA_SANITIZE})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  target_link_options(kubiya_options INTERFACE -fuse-ld=mold)
endif()
