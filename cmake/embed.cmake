# The library for applications: one shared object that shows kubiya/server_auth.h and
# hides the rest, so that a consumer needs none of our dependencies to compile.
include(CMakePackageConfigHelpers)

add_library(kubiya_mcp_embed SHARED ${CMAKE_SOURCE_DIR}/cmake/empty.cpp)
set_target_properties(kubiya_mcp_embed PROPERTIES
  OUTPUT_NAME kubiya-mcp EXPORT_NAME mcp VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_compile_features(kubiya_mcp_embed PUBLIC cxx_std_20)
target_include_directories(kubiya_mcp_embed PUBLIC
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(kubiya_mcp_embed PRIVATE
  $<LINK_LIBRARY:WHOLE_ARCHIVE,kubiya_embed> kubiya_options)
target_link_options(kubiya_mcp_embed PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/embed.map)
add_library(kubiya::mcp ALIAS kubiya_mcp_embed)

install(TARGETS kubiya-mcp RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS kubiya_mcp_embed EXPORT kubiya-mcp-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_SOURCE_DIR}/include/kubiya/server_auth.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kubiya)
install(EXPORT kubiya-mcp-targets NAMESPACE kubiya::
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kubiya-mcp)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/kubiya-mcp-config.cmake.in
  ${CMAKE_BINARY_DIR}/kubiya-mcp-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kubiya-mcp)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/kubiya-mcp-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/kubiya-mcp-config.cmake
  ${CMAKE_BINARY_DIR}/kubiya-mcp-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kubiya-mcp)
