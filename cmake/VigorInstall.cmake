# cmake --install: headers under include/vigor, static libraries, and a package that exports vigor::vigor.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
add_library(vigor_all INTERFACE)
add_library(vigor::vigor ALIAS vigor_all)
set_target_properties(vigor_all PROPERTIES EXPORT_NAME vigor)
get_property(libraries GLOBAL PROPERTY VIGOR_LIBRARIES)
target_link_libraries(vigor_all INTERFACE ${libraries})
install(TARGETS vigor_all vigor_flags ${libraries} EXPORT vigorTargets)
if(TARGET vigor)
  install(TARGETS vigor RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(room tensor autograd kernels nn models train)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vigor 
    FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh" PATTERN "emulator" EXCLUDE)
endforeach()
install(EXPORT vigorTargets NAMESPACE vigor:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vigor)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vigorConfig.cmake.in vigorConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vigor)
write_basic_package_version_file(vigorConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vigorConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/vigorConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vigor)
