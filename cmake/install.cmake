# make install and the .deb: see deploy/.
install(TARGETS headgate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
