def save(model, path): open(path,"w").write("stub")
