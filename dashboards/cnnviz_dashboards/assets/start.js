window.cnnviz.watchPage();
